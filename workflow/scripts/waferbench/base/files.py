"""Files written whole or not at all, and what tells one from another."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from waferbench.base.errors import WriteError
from waferbench.base.seals import describe, file_digest
from waferbench.base.sourcefiles import files_of

LITTLE = 1 << 20  # bytes: a disk with less is full


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``; rename it to ``path`` on success, remove it on failure.

    An existing ``path`` survives any failure, a full disk included.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except Exception as error:
        if not _failed_write(error):
            raise
        said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if shutil.disk_usage(path.parent).free < LITTLE:  # torch and h5py do not say it
            said = os.strerror(errno.ENOSPC)
        raise WriteError(f"could not write {path} ({said}); free space or mend rights, then rerun") from error
    finally:
        temporary.unlink(missing_ok=True)


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
    return _joined(describe(path)) if path.is_dir() else file_digest(path)


def data_digest(path: str | Path) -> str:
    """sha256 of a file of data, or of the names and contents of a folder of them."""
    path = Path(path)
    if not path.is_dir():
        return file_digest(path)
    return _joined({file.relative_to(path).as_posix(): file_digest(file) for file in files_of(path)})


def _joined(digests: Mapping[str, str]) -> str:
    text = "\n".join(f"{name} {found}" for name, found in digests.items())
    return hashlib.sha256(text.encode()).hexdigest()
