"""What Slurm says of jobs before the first one is sent. Imports nothing heavy: Snakemake asks before it starts."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from waferbench.base.errors import InputError

OPTIONS = {  # a resource and the option of sbatch it becomes
    "slurm_partition": "--partition",
    "slurm_account": "--account",
    "cluster": "--clusters",  # the three names that the executor knows for it
    "clusters": "--clusters",
    "slurm_cluster": "--clusters",
    "constraint": "--constraint",
    "qos": "--qos",
    "runtime": "--time",
    "mem_mb": "--mem",
    "cpus": "--cpus-per-task",
    "gpu": "--gpus",
}
FINAL = (  # Slurm's words for what no wait could mend; not for a user who has as many jobs as the site allows
    "invalid partition",
    "no partition specified",
    "invalid account",
    "invalid qos",
    "time limit is invalid",
)
PATIENCE = 60  # seconds
NO_NODE = "Requested node configuration is not available"


def check_requests(
    requests: Iterable[tuple[str, Mapping[str, Any]]], more: Sequence[str] = (), final: bool = True
) -> list[str]:
    """Show Slurm what jobs will ask for, each distinct request once (``sbatch --test-only`` sends nothing).

    Args:
        requests: rule and resources of each job; ``cpus`` are its threads.
        more: options of sbatch that all of them get.
        final: whether a refusal is an error; else it is a line, too: the executor may send other partitions yet.

    Returns:
        A line for each request that Slurm would not take now: perhaps no node can serve it ever, perhaps those that
        could are down, perhaps the user has as many jobs as the site allows.

    Raises:
        InputError: Slurm refuses a request whatever its nodes do: an unknown partition or account, a time limit
            beyond the partition's.
    """
    rules: dict[tuple[str, ...], str] = {}
    for rule, resources in requests:
        options = tuple(f"{option}={resources[key]}" for key, option in OPTIONS.items() if _known(resources.get(key)))
        options += tuple(shlex.split(str(resources.get("slurm_extra") or "")))
        rules.setdefault(options, rule)
    unserved = []
    for options, rule in rules.items():
        command = ["sbatch", "--test-only", *more, *options, "--wrap=true"]
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        except FileNotFoundError:
            raise InputError("no sbatch on this machine: start the study where Slurm's commands are") from None
        except subprocess.TimeoutExpired:
            return [*unserved, f"{rule}: Slurm did not answer within {PATIENCE} s"]
        if asked.returncode == 0:
            continue
        said = asked.stderr.strip().splitlines()[-1] if asked.stderr.strip() else f"exit status {asked.returncode}"
        if NO_NODE in said:
            unserved.append(f"{rule}: no node that is up can serve {' '.join(options)}")
        elif not (final and any(words in said.lower() for words in FINAL)):
            unserved.append(f"{rule}: Slurm says of {' '.join(options)}: {said}")
        else:
            raise InputError(
                f"Slurm refuses what {rule} asks for ({' '.join(options)}): {said}; set slurm_partition and "
                "slurm_account in profiles/slurm/profile.yaml to what `sinfo` and `sacctmgr show assoc user=$USER` list"
            )
    return unserved


def _known(value: Any) -> bool:
    """Whether a resource is set; what depends on files that are not there yet has no value."""
    return bool(value) and "TBD" not in str(value)
