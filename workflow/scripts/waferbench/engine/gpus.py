"""A GPU of its own for each running job: Snakemake counts GPUs, but tells no job which one is free.

A GPU is taken by locking a file of its name. The kernel frees the lock when the process ends, killed or not, so that
nothing is left to clean up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.engine.machine import VISIBLE, allocation, gpu_devices

LOCKS = Path("/tmp/waferbench-gpus")  # of all studies and users, whose TMPDIR may each be another
OLD = 30 * 24 * 3600  # seconds after which an allocation's locks are nobody's
PATIENCE = 60.0  # seconds between two lines of a log that tell of waiting
_held: list[int] = []  # open files of the locks of this process


def claim(count: int = 1, folder: str | Path | None = None) -> list[str]:
    """Take GPUs for this process until it ends and name them in ``CUDA_VISIBLE_DEVICES``; waits while none is free.

    Must come before CUDA is first used. GPUs that the variable names already are the only ones taken. Where there is
    none, nothing is done. Jobs of one allocation of a cluster share their locks, other jobs number their GPUs anew.

    Args:
        count: GPUs needed; where fewer are visible, all are taken.
        folder: of the lock files.

    Returns:
        The names taken.
    """
    devices = gpu_devices()
    if not devices:
        return []
    common = Path(folder or LOCKS)
    mine = common / (allocation() if VISIBLE in os.environ else "")
    with _open_to_all():
        for one in (common, mine):
            with suppress(FileExistsError):
                one.mkdir(mode=0o1777)
    _sweep(common)
    taken = _wait(devices, min(count, len(devices)), mine)
    os.environ[VISIBLE] = ",".join(taken)
    return taken


def _wait(devices: Sequence[str], count: int, folder: Path) -> list[str]:
    started, told = time.monotonic(), 0.0
    while True:
        taken = _try(devices, count, folder)
        if taken:
            return taken
        if time.monotonic() - started >= told:
            print(f"waiting: none of the GPUs {', '.join(devices)} is free", file=sys.stderr)
            told += PATIENCE
        time.sleep(0.2)


def _try(devices: Sequence[str], count: int, folder: Path) -> list[str]:
    """All of ``count`` GPUs or none, so that no two jobs wait for each other."""
    taken: dict[str, int] = {}
    for device in devices:
        lock = _open(folder / f"{device.replace('/', '_')}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        taken[device] = lock
        if len(taken) == count:
            _held.extend(taken.values())
            return list(taken)
    for lock in taken.values():
        os.close(lock)
    return []


@contextmanager
def _open_to_all() -> Iterator[None]:
    """What is made here gets the rights that it is made with, at once: another user may look this very moment."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def _sweep(folder: Path) -> None:
    """Remove the locks of allocations that have long ended."""
    for old in folder.iterdir():
        with suppress(OSError):  # swept by another job this very moment
            if old.is_dir() and time.time() - old.stat().st_mtime > OLD:
                shutil.rmtree(old, ignore_errors=True)


def _open(path: Path) -> int:
    """A lock file of anybody: reading is all that a lock needs."""
    try:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY)
        with _open_to_all(), suppress(PermissionError):  # another user has made it just now, and the kernel protects it
            return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        return os.open(path, os.O_RDONLY)
    except PermissionError:
        raise InputError(f"{path}: a GPU's lock that you may not read; its owner must `chmod a+r` it") from None
