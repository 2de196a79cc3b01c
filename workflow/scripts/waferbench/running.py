"""Which jobs run at this moment: each leaves a marker beside its run record, which a kill leaves behind."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SUFFIX = ".running"


@dataclass(frozen=True)
class Running:
    """One job under way. started: seconds since the epoch, of the process. gpus: as granted."""

    name: str
    rule: str
    host: str
    pid: int
    started: float
    gpus: int = 0

    @property
    def alive(self) -> bool:
        """Whether its process still runs; of another host nothing is known, and the marker is believed."""
        if self.host != platform.node():
            return True
        started = process_start(self.pid)
        return started is not None and abs(started - self.started) < 2  # else the number was given to another process


def process_start(pid: int | None = None) -> float | None:
    """When a process of this host (by default this one) began, in seconds since the epoch; None where there is none.

    Where the system has no ``/proc`` the process is only asked whether it lives, and said to have begun now.
    """
    pid = pid or os.getpid()
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        return time.time()
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def run_records(runs: Path) -> Iterator[tuple[Path, dict]]:
    """The records of finished jobs and their files, by name; unreadable ones are passed over."""
    for path in sorted(Path(runs).glob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield path, record


def mark(runs: Path, name: str, rule: str, gpus: int) -> Path:
    """Write the marker of this process's job; the path, for whoever ends it."""
    job = Running(name, rule, platform.node(), os.getpid(), process_start() or time.time(), gpus)
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / f"{name}{SUFFIX}"
    path.write_text(json.dumps(asdict(job)))
    return path


def markers(runs: Path) -> list[Running]:
    """The jobs that have begun and not ended, in the order in which they began; unreadable markers are passed over."""
    found = []
    for path in Path(runs).glob(f"*{SUFFIX}"):
        try:
            found.append(Running(**json.loads(path.read_text())))
        except (OSError, ValueError, TypeError):  # ended a moment ago, or only half written
            continue
    return sorted(found, key=lambda job: (job.started, job.name))


def parted(jobs: Iterable[Running]) -> tuple[list[Running], list[Running]]:
    """Those that run, and those that a kill has left."""
    jobs = list(jobs)
    return [job for job in jobs if job.alive], [job for job in jobs if not job.alive]
