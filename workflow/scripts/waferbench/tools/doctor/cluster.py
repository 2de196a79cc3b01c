"""The cluster that a profile of Snakemake sends jobs to, as far as the machine that sends them can see it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from waferbench.base.errors import InputError
from waferbench.engine.slurm import check_requests
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding

PATIENCE = 10  # seconds that `sinfo` gets
KEYS = ("slurm_partition", "slurm_account")  # what a site sets
JOB = {"cpus": 1, "mem_mb": 1000, "runtime": 10}  # what every cluster can serve somewhere
COMMANDS = {"lsf.sh": ("bsub", "bjobs"), "pbs.sh": ("qsub", "qstat")}  # of the scripts in profiles/generic


@dataclass(frozen=True)
class Profile:
    """A profile as Snakemake was given it. file: None where it lies in no folder here."""

    name: str = ""
    file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def executor(self) -> str:
        """Snakemake's name of what runs the jobs."""
        return self.settings.get("executor", "local")


def profile_in_use(commands: Iterable[list[str]]) -> Profile:
    """The profile that Snakemake was started with; one without a name where there is none.

    Args:
        commands: the command lines that led here (`waferbench.tools.doctor.leftovers.ancestors`).
    """
    name = next(filter(None, map(_profile, commands)), os.environ.get("SNAKEMAKE_PROFILE"))
    if not name:
        return Profile()
    files = [Path(name) / "profile.yaml", Path(name) / "config.yaml", *sorted(Path(name).glob("config.v*.yaml"))]
    file = next((file for file in files if file.is_file()), None)
    return Profile(name, file, (yaml.safe_load(file.read_text()) or {}) if file else {})


def check_cluster(profile: Profile) -> Iterator[Finding]:
    """What the profile says, and whether the scheduler would take a job."""
    if not profile.name:
        yield Finding(OK, "cluster", "no profile: jobs run on this machine")
    elif profile.file is None:
        yield Finding(WARNING, "cluster", f"profile {profile.name}, not read: it lies in no folder here")
    else:
        yield Finding(OK, "cluster", f"profile {profile.name}, executor {profile.executor}")
        if profile.executor == "slurm":
            yield from _check_slurm(profile)
        elif profile.executor == "cluster-generic":
            yield from _check_generic(profile)


def check_nodes() -> Iterator[Finding]:
    """In place of this machine's GPU and memory, where jobs run elsewhere."""
    yield Finding(OK, "nodes", "jobs run on them: GPU and memory of this machine, which sends jobs, do not matter")


def _profile(command: list[str]) -> str | None:
    """The value of ``--profile`` in a command line."""
    for word, following in zip(command, [*command[1:], ""], strict=True):
        if word == "--profile":
            return following
        if word.startswith("--profile="):
            return word.partition("=")[2]
    return None


def _check_slurm(profile: Profile) -> Iterator[Finding]:
    given = profile.settings.get("default-resources", [])
    pairs = given.items() if isinstance(given, Mapping) else [str(item).partition("=")[::2] for item in given]
    site = {key: value for key, value in pairs if key in KEYS}
    for key in [key for key in KEYS if key not in site]:
        advice = f"fine where the cluster has a default; else add {key} to default-resources in {profile.file}"
        yield Finding(WARNING, "cluster", f"{key} is not set", advice)
    if shutil.which("sinfo") is None:
        yield Finding(PROBLEM, "cluster", "no sinfo on this machine", "start Snakemake on a login node of the cluster")
        return
    done = subprocess.run(["sinfo", "--noheader"], capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        yield Finding(PROBLEM, "cluster", f"sinfo fails: {done.stderr.strip()[:200]}", "ask the cluster's operators")
        return
    yield Finding(OK, "cluster", f"Slurm answers with {len(done.stdout.splitlines())} partitions and states")
    try:
        lines = check_requests([("a small job", {**JOB, **site}), ("a job with a GPU", {**JOB, **site, "gpu": 1})])
    except InputError as error:
        found, _, advice = str(error).partition("; ")
        yield Finding(PROBLEM, "cluster", found, advice)
        return
    for line in lines:
        yield Finding(WARNING, "cluster", line, "where no node has a GPU, add --resources gpu=0" * ("--gpus" in line))
    if not lines:
        yield Finding(OK, "cluster", "Slurm would take a small job, and one with a GPU")


def _check_generic(profile: Profile) -> Iterator[Finding]:
    command = str(profile.settings.get("cluster-generic-submit-cmd", "")).split()
    script = Path(command[0]) if command else Path()
    wanted = COMMANDS.get(script.name, ())
    missing = [name for name in (*command[:1], *wanted) if shutil.which(name) is None]
    if missing:
        told = f"{', '.join(missing)}: no such command here"
        yield Finding(PROBLEM, "cluster", told, "start Snakemake where the scheduler's commands are")
    elif command:
        yield Finding(OK, "cluster", f"{', '.join((*command[:1], *wanted))} found; no job was shown to the scheduler")
