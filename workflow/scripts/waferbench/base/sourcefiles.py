"""The identity of the user's own files, taken while the workflow is planned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from waferbench.base.errors import InputError


class Located(Protocol):
    """Where wafers come from, as the section ``dataset`` of the settings says it."""

    @property
    def source(self) -> str: ...

    @property
    def path(self) -> str: ...


def fingerprint(dataset: Located) -> str:
    """Path, size and modification time of the source, so that a replaced file is seen whatever its age.

    For a folder: one digest over the same facts of every file in it. Empty for simulated wafers.

    Raises:
        InputError: nothing at ``dataset.path``, or a file where a folder is expected.
    """
    if dataset.source == "simulated":
        return ""
    path = Path(dataset.path)
    if not path.exists():
        raise InputError(
            f"dataset.path: nothing at {path} (looked in {os.getcwd()}); give the path of your data, for instance "
            f"--config set='dataset.path=/data/LSWMD.pkl'"
        )
    if dataset.source != "g85" and (dataset.source == "folder") != path.is_dir():
        expected = "a folder with a folder per class" if dataset.source == "folder" else "a file"
        raise InputError(f"dataset.path: {path} is not {expected}, which dataset.source = {dataset.source} needs")
    return _identity(path, str(path))


def own_weights(folder: str, names: Iterable[str], *paths: Path) -> str:
    """What tells the first of these files or folders that is there from others, wherever it lies; else empty.

    Size, modification time and some of the content: what rests on it may be shared with somebody whose file is another.

    Args:
        folder: ``weights.folder``, or empty.
        names: what is looked for in it.
        paths: looked for before.
    """
    inside = [Path(folder) / name for name in names] if folder else []
    found = next((path for path in [*paths, *inside] if path.exists()), None)
    if found is None:
        return ""
    samples = [_sample(file) for file in files_of(found)]
    return hashlib.sha256("\n".join([_identity(found, ""), *samples]).encode()).hexdigest()[:16]


def files_of(path: Path) -> list[Path]:
    """The file, or all files of the folder in order, those of linked folders in it included."""
    if not path.is_dir():
        return [path]
    return sorted({file for pattern in ("**/*", "*/*") for file in path.glob(pattern) if file.is_file()})


def _sample(file: Path) -> str:
    """A digest of 64 kB spread over a file: gigabytes are not read while a study is planned."""
    parts, size, block = 16, file.stat().st_size, 4096
    text = hashlib.sha256()
    with open(file, "rb") as handle:
        for part in range(parts):
            handle.seek(max(0, size - block) * part // (parts - 1))
            text.update(handle.read(block))
    return text.hexdigest()


def _identity(path: Path, name: str) -> str:
    stats = [(file.relative_to(path).as_posix(), file.stat()) for file in files_of(path)]
    lines = [f"{name}/{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
