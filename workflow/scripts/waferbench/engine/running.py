"""Which jobs run at this moment: each leaves a marker beside its run record, which a kill leaves behind."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

SUFFIX = ".running"
BOOT = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Running:
    """One job under way.

    Attributes:
        started: seconds since the epoch, of the process.
        birth: what tells the process from another one that was given its number, whatever the clock says since.
        gpus: as granted.
    """

    name: str
    rule: str
    host: str
    pid: int
    started: float
    birth: str
    gpus: int = 0

    @property
    def alive(self) -> bool:
        """Whether its process still runs; of another host nothing is known, and the marker is believed."""
        if self.host != platform.node():
            return True
        return _birth(self.pid) == self.birth


def process_start() -> float:
    """When this process began, in seconds since the epoch; now, where the system has no ``/proc``."""
    ticks = _ticks(os.getpid())
    if ticks is None:
        return time.time()
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _birth(pid: int) -> str | None:
    """The boot of this host and the process's start since, or None where there is no such process. Without ``/proc``
    the process is only asked whether it lives."""
    if BOOT.exists():
        ticks = _ticks(pid)
        return None if ticks is None else f"{BOOT.read_text().strip()} {ticks}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # somebody else's
        pass
    return ""


def _ticks(pid: int) -> int | None:
    """When a process began, in the kernel's ticks since the boot."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def mark(runs: Path, name: str, rule: str, gpus: int) -> Path:
    """Write the marker of this process's job; the path, for whoever ends it."""
    job = Running(name, rule, platform.node(), os.getpid(), process_start(), _birth(os.getpid()) or "", gpus)
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
