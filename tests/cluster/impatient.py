"""Snakemake as it is, but for one thing: it asks a cluster after its jobs every second.

The executor for Slurm waits ten seconds more after every answer without a finished job, up to three minutes. That is
kind to a real scheduler and no setting bounds it; a test would mostly sleep.
"""

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def one_second(_: RemoteExecutor) -> None:
    await asyncio.sleep(1)


if __name__ == "__main__":
    RemoteExecutor.sleep = one_second
    main()
