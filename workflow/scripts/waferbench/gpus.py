"""A GPU of its own for each running job: Snakemake counts GPUs, but tells no job which one is free.

A GPU is taken by locking a file of its name. The kernel frees the lock when the process ends, killed or not, so that
nothing is left to clean up.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from waferbench.errors import InputError
from waferbench.machine import VISIBLE, allocation, gpu_devices

LOCKS = "waferbench-gpus"  # a folder among the machine's temporary files, shared by all studies and users
PATIENCE = 60.0  # seconds between two lines of a log that tell of waiting
_held: list[int] = []  # open files of the locks of this process


def claim(count: int = 1, folder: str | Path | None = None) -> list[str]:
    """Take GPUs for this process until it ends and name them in ``CUDA_VISIBLE_DEVICES``; waits while none is free.

    Must come before CUDA is first used. GPUs that the variable names already are the only ones taken. Where there is
    none, nothing is done. Jobs of one allocation of a cluster share their locks, other jobs number their GPUs anew.

    Args:
        count: GPUs needed; where fewer are visible, all are taken.
        folder: of the lock files; by default `LOCKS` among the machine's temporary files.

    Returns:
        The names taken.
    """
    devices = gpu_devices()
    if not devices:
        return []
    common = Path(folder or Path(tempfile.gettempdir(), LOCKS))
    mine = common / (allocation() if VISIBLE in os.environ else "")
    _make(common)
    _make(mine)
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


def _make(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)  # other users lock here, too


def _open(path: Path) -> int:
    """A lock file of anybody: reading is all that a lock needs."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        with suppress(PermissionError):  # another user has made it just now, and the kernel protects it
            lock = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
            if os.fstat(lock).st_uid == os.getuid():
                os.fchmod(lock, 0o644)  # whatever the umask
            return lock
    except PermissionError:
        pass
    try:
        return os.open(path, os.O_RDONLY)
    except PermissionError:
        raise InputError(f"{path}: a GPU's lock that you may not read; its owner must `chmod a+r` it") from None
