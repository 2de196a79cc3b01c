"""A GPU of its own for each running job: Snakemake counts GPUs, but tells no job which one is free.

A GPU is taken by locking a file of its name. The kernel frees the lock when the process ends, killed or not, so that
nothing is left to clean up. All users of a machine write in the folder of the locks: see `waferbench.engine.guarded`.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.engine.guarded import Folder, Unfit
from waferbench.engine.machine import VISIBLE, allocation, gpu_devices

LOCKS = "/tmp/waferbench-gpus"  # of all studies and users, whose TMPDIR may each be another
ELSEWHERE = "WAFERBENCH_GPU_LOCKS"  # variable that names another folder
LOCK = ".lock"
OLD = 30 * 24 * 3600  # seconds after which an allocation's locks are nobody's
PATIENCE = 60.0  # seconds between two lines of a log that tell of waiting
_held: list[int] = []  # open files of the locks of this process


def claim(count: int = 1, folder: str | Path | None = None) -> list[str]:
    """Take GPUs for this process until it ends and name them in ``CUDA_VISIBLE_DEVICES``; waits while none is free.

    Must come before CUDA is first used. GPUs that the variable names already are the only ones taken. Where there is
    none, nothing is done. Jobs of one allocation of a cluster share their locks, other jobs number their GPUs anew.

    Args:
        count: GPUs needed; where fewer are visible, all are taken.
        folder: of the lock files; by default the one that ``WAFERBENCH_GPU_LOCKS`` names, or `LOCKS`.

    Returns:
        The names taken.

    Raises:
        InputError: the folder, or a lock in it, is not one that users can share.
    """
    devices = gpu_devices()
    if not devices:
        return []
    path = Path(folder or os.environ.get(ELSEWHERE) or LOCKS).absolute()
    part = allocation().replace("/", "_") if VISIBLE in os.environ else ""
    with ExitStack() as held:
        locks = held.enter_context(_lock_folder(path))
        _sweep(locks)
        if part:
            path = path / part
            locks = held.enter_context(_common_folder(locks, part, path))
        taken = _wait(devices, min(count, len(devices)), locks, path)
    os.environ[VISIBLE] = ",".join(taken)
    return taken


def _lock_folder(path: Path) -> Folder:
    """The folder of all locks; links on the way to it are the user's or the machine's own."""
    try:
        parent = Folder.at(path.parent)
    except OSError as error:
        raise _no_locks(path.parent, str(error.strerror)) from error
    with parent:
        return _common_folder(parent, path.name, path)


def _common_folder(parent: Folder, name: str, path: Path) -> Folder:
    """A folder that every user may add to and nobody may take from, made where it is missing."""
    try:
        with _open_to_all(), suppress(FileExistsError):
            os.mkdir(name, mode=0o1777, dir_fd=parent.descriptor)
        folder = parent.folder(name)
    except (OSError, Unfit) as error:
        raise _no_locks(path, getattr(error, "strerror", None) or str(error)) from error
    facts = folder.facts
    if facts.st_uid not in (0, os.geteuid()) and not facts.st_mode & stat.S_ISVTX:
        folder.close()
        raise _no_locks(path, f"it belongs to user {facts.st_uid} and is not sticky")
    return folder


def _no_locks(path: Path, found: str) -> InputError:
    return InputError(
        f"{path}: no folder for the locks of GPUs ({found}), expected one of mode 1777; have its owner or root remove "
        f"it, or set {ELSEWHERE} to another folder, the same for all users of these GPUs"
    )


def _wait(devices: Sequence[str], count: int, folder: Folder, path: Path) -> list[str]:
    started, told = time.monotonic(), 0.0
    while True:
        taken = _try(devices, count, folder, path)
        if taken:
            return taken
        if time.monotonic() - started >= told:
            print(f"waiting: none of the GPUs {', '.join(devices)} is free", file=sys.stderr)
            told += PATIENCE
        time.sleep(0.2)


def _try(devices: Sequence[str], count: int, folder: Folder, path: Path) -> list[str]:
    """All of ``count`` GPUs or none, so that no two jobs wait for each other."""
    taken: dict[str, int] = {}
    for device in devices:
        name = f"{device.replace('/', '_')}{LOCK}"
        lock = _open(folder, name, path / name)
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


def _sweep(folder: Folder) -> None:
    """Remove the locks of allocations that have long ended, and nothing else that may lie there."""
    for name in folder.names():
        # no folder, another's, or swept by another job this very moment
        with suppress(OSError, Unfit), folder.folder(name) as old:
            if time.time() - old.facts.st_mtime > OLD:
                for lock in old.names():
                    if lock.endswith(LOCK):
                        os.unlink(lock, dir_fd=old.descriptor)
                os.rmdir(name, dir_fd=folder.descriptor)


def _open(folder: Folder, name: str, path: Path) -> int:
    """A lock file of anybody: reading is all that a lock needs."""
    try:
        if folder.look(name) is None:
            flags = os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with _open_to_all(), suppress(FileExistsError):  # another user has made it just now
                return os.open(name, flags, 0o644, dir_fd=folder.descriptor)
        return folder.open(name)
    except PermissionError:
        if folder.look(name) is None:
            raise _no_locks(path.parent, "you may not write to it") from None
        raise InputError(f"{path}: a GPU's lock that you may not read; its owner must `chmod a+r` it") from None
    except Unfit as error:
        raise InputError(f"{path}: no GPU's lock ({error}); its owner or root must remove it") from None
