"""The cluster that Snakemake sends jobs to, as far as the machine that sends them can see it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waferbench.base.errors import InputError
from waferbench.engine.slurm import check_requests
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding

PATIENCE = 10  # seconds that `sinfo` gets
KEYS = ("slurm_partition", "slurm_account")  # what a site sets
JOB = {"cpus": 1, "mem_mb": 1000, "runtime": 10}  # what every cluster can serve somewhere
COMMANDS = {"lsf.sh": ("bsub", "bjobs"), "pbs.sh": ("qsub", "qstat")}  # of the scripts in profiles/generic
LOGIN = "start Snakemake on a login node, where the scheduler's commands are"


@dataclass(frozen=True)
class Executor:
    """What runs the jobs. name: Snakemake's. resources: what a job gets that claims nothing. submit: its command."""

    name: str = "local"
    resources: Mapping[str, Any] = field(default_factory=dict)
    submit: str = ""


def check_cluster(executor: Executor) -> Iterator[Finding]:
    """Whether the scheduler would take a job."""
    if executor.name == "local":
        yield Finding(OK, "cluster", "none: jobs run on this machine")
    else:
        told = f"jobs are sent by {executor.name}: GPU and memory of this machine do not matter"
        yield Finding(OK, "cluster", told)
        checks = {"slurm": _check_slurm, "cluster-generic": _check_generic}
        yield from checks.get(executor.name, lambda _: ())(executor)


def _check_slurm(executor: Executor) -> Iterator[Finding]:
    site = {key: executor.resources[key] for key in KEYS if executor.resources.get(key)}
    for key in [key for key in KEYS if key not in site]:
        advice = f"fine where the cluster has a default; else add {key} to default-resources of the profile"
        yield Finding(WARNING, "cluster", f"{key} is not set", advice)
    try:
        asked = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=PATIENCE)
        if asked.returncode:
            raise InputError(f"sinfo fails: {asked.stderr.strip()[:200]}; ask the cluster's operators")
        lines = check_requests([("a small job", {**JOB, **site}), ("a job with a GPU", {**JOB, **site, "gpu": 1})])
    except FileNotFoundError:
        yield Finding(PROBLEM, "cluster", "no sinfo on this machine", LOGIN)
    except InputError as error:
        yield Finding(PROBLEM, "cluster", *str(error).split("; ", 1))
    else:
        for line in lines:
            advice = "where no node has a GPU, add --resources gpu=0" if "--gpus" in line else ""
            yield Finding(WARNING, "cluster", line, advice)
        if not lines:
            yield Finding(OK, "cluster", "Slurm answers and would take a small job, and one with a GPU")


def _check_generic(executor: Executor) -> Iterator[Finding]:
    command = executor.submit.split()[:1]
    wanted = [*command, *(name for script in command for name in COMMANDS.get(Path(script).name, ()))]
    missing = [name for name in wanted if shutil.which(name) is None]
    if missing:
        yield Finding(PROBLEM, "cluster", f"{', '.join(missing)}: no such command here", LOGIN)
    elif command:
        yield Finding(OK, "cluster", f"{', '.join(wanted)} found; no job was shown to the scheduler")
