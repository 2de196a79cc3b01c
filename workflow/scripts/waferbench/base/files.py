"""Files written whole or not at all, and what tells one from another."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from waferbench.base.errors import WriteError
from waferbench.base.regular import open_regular
from waferbench.base.seals import describe, file_digest, joined
from waferbench.base.sourcefiles import KINDS, Kind, files_of

LITTLE = 1 << 20  # bytes: a disk with less is full
UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)  # of a file system, or of a folder, that cannot be synced


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``; rename it to ``path`` on success, remove it on failure.

    An existing ``path`` survives any failure, a full disk or a power cut included.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial(path)
    try:
        yield temporary
        sync(temporary)  # else a power cut may leave the name without the bytes
        os.replace(temporary, path)
        sync(path.parent)
    except Exception as error:
        if not _failed_write(error):
            raise
        said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if shutil.disk_usage(path.parent).free < LITTLE:  # torch and h5py do not say it
            said = os.strerror(errno.ENOSPC)
        raise WriteError(f"could not write {path} ({said}); free space or mend rights, then rerun") from error
    finally:
        temporary.unlink(missing_ok=True)


def sync(target: Path | int) -> None:
    """Wait until a file, or the names in a folder, are on the disk, by path or by open descriptor."""
    try:
        descriptor = os.dup(target) if isinstance(target, int) else os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def sync_all(folder: Path) -> None:
    """Wait until a folder and all in it are on the disk."""
    for place, _, files in os.walk(folder):
        for name in files:
            sync(Path(place, name))
        sync(Path(place))


def _failed_write(error: Exception) -> bool:
    """Whether it is what libraries raise when a write fails: torch and h5py a RuntimeError, safetensors a type of its
    own, which is not imported for this."""
    return isinstance(error, (OSError, RuntimeError)) or type(error).__name__ == "SafetensorError"


def partial(path: Path) -> Path:
    """Where this process writes a file or folder until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def partials(path: Path) -> Iterator[Path]:
    """What this and other processes have begun to write in place of a file or folder."""
    return path.parent.glob(f".{escape(path.name)}.*.partial")


def canonical_json(value: Any) -> str:
    """One sorted, compact JSON text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(path: str | Path) -> str:
    """sha256 of a file, or of the names and digests of all files of a folder."""
    path = Path(path)
    return joined(describe(path)) if path.is_dir() else file_digest(path)


def data_digest(path: str | Path, source: str = "") -> str:
    """sha256 of a file of data, or of the names and contents of a folder's files that are read.

    Args:
        source: of the data set, which says what is read of a folder; "": by what the folder looks like.

    Raises:
        InputError: nothing there, or a pipe, a device or a socket.
    """
    return content_digest(path, KINDS.get(source))


def content_digest(path: str | Path, kind: Kind | None = None) -> str:
    """sha256 of a file, or of the names and contents of those files of a folder that are read."""
    path = Path(path)
    if not path.is_dir():
        return _opened_digest(path)
    return joined({_name(file, path): _opened_digest(file) for file in files_of(path, kind)})


def _name(file: Path, folder: Path) -> str:
    """A file's name in a folder, where it is no UTF-8 with what stands for the odd bytes."""
    return file.relative_to(folder).as_posix().encode(errors="backslashreplace").decode()


def _opened_digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
