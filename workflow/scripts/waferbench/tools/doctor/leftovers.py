"""What a killed run leaves behind: locks, half-written files, markers of jobs, states of trainings."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from waferbench.engine.running import markers, parted
from waferbench.tools.doctor import OK, WARNING, Finding

PATIENCE = 600  # seconds without a change after which a half-written file counts as left behind


def ancestors() -> list[list[str]]:
    """The command lines of the processes that started this one, its own first."""
    import psutil

    me = psutil.Process()
    return [process.cmdline() for process in [me, *me.parents()]]


def others_here(folder: Path) -> list[int]:
    """The Snakemake processes that work in a folder, but for those that started this one."""
    import psutil

    me = psutil.Process()
    mine = {me.pid, *(process.pid for process in [*me.parents(), *me.children(recursive=True)])}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid in mine or not any("snakemake" in word for word in process.cmdline()[:3]):
                continue
            if Path(process.cwd()) == folder.resolve():
                found.append(process.pid)
        except (psutil.Error, OSError):  # ended meanwhile, or another user's
            continue
    return sorted(found)


def check_lock(folder: Path) -> Iterator[Finding]:
    """Snakemake's lock of the working directory; a target without files, as the doctor is, takes none itself."""
    held = sorted((folder / ".snakemake/locks").glob("*.lock"))
    running = others_here(folder)
    if held and running:
        advice = "start nothing else in this folder; ask with --nolock beside a run, else its lock goes with yours"
        yield Finding(WARNING, "lock", f"a study is running here (process {running[0]})", advice)
    elif held:
        yield Finding(
            WARNING, "lock", "left by a run that is gone", "snakemake --unlock, should the next run ask for it"
        )
    else:
        yield Finding(OK, "lock", "none")


def check_leftovers(study: Path) -> Iterator[Finding]:
    """Files that no run will finish or use any more."""
    alive, dead = parted(markers(study / "runs"))
    partial = [path for path in study.rglob(".*.partial") if not _written_now(path)]
    if dead:
        told = f"{len(dead)} jobs were killed before their end: {', '.join(job.name for job in dead[:3])}"
        yield Finding(WARNING, "leftovers", told, "the next run begins or resumes them")
    if partial:
        advice = f"rm '{partial[0]}'" + (" and the others" if len(partial) > 1 else "")
        yield Finding(WARNING, "leftovers", f"{len(partial)} half-written files of killed jobs", advice)
    states = [path for path in (study / ".checkpoints").glob("*/*") if path.is_dir()]
    if states and not alive:
        size = sum(file.stat().st_size for path in states for file in path.rglob("*") if file.is_file()) / 2**20
        told = f"{len(states)} states of unfinished trainings, {size:,.0f} MB, which the next run may go on from"
        yield Finding(OK, "leftovers", told, f"if the study is finished: rm -r '{study / '.checkpoints'}'")
    if not dead and not partial and not (states and not alive):
        yield Finding(OK, "leftovers", "none")


def _written_now(path: Path) -> bool:
    """Whether somebody writes to a temporary file: the process that it is named after, or one on another machine."""
    if time.time() - path.stat().st_mtime < PATIENCE:
        return True
    number = path.name.split(".")[-2]
    if not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
