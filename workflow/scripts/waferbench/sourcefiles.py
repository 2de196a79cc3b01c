"""The identity of the user's own files, taken while the workflow is planned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from waferbench.errors import InputError


def fingerprint(dataset: Mapping) -> str:
    """Path, size and modification time of the source, so that a replaced file is seen whatever its age.

    For a folder: one digest over the same facts of every file in it. Empty for simulated wafers.

    Raises:
        InputError: nothing at ``dataset.path``, or a file where a folder is expected.
    """
    if dataset["source"] == "simulated":
        return ""
    path = Path(dataset["path"]).expanduser()
    if not path.exists():
        raise InputError(
            f"dataset.path: nothing at {path} (looked in {os.getcwd()}); give the path of your data, for instance "
            f"--config set='dataset.path=/data/LSWMD.pkl'"
        )
    if dataset["source"] != "g85" and (dataset["source"] == "folder") != path.is_dir():
        expected = "a folder with a folder per class" if dataset["source"] == "folder" else "a file"
        raise InputError(f"dataset.path: {path} is not {expected}, which dataset.source = {dataset['source']} needs")
    return _identity(path, str(path))


def own_weights(folder: str, names: Iterable[str], *paths: Path) -> str:
    """Size and modification time of the first of these files or folders that is there, wherever it lies; else empty.

    Args:
        folder: ``weights.folder``, or empty.
        names: what is looked for in it.
        paths: looked for before.
    """
    inside = [Path(folder).expanduser() / name for name in names] if folder else []
    return next((_identity(path, "") for path in [*paths, *inside] if path.exists()), "")


def _identity(path: Path, name: str) -> str:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    lines = [
        f"{name}/{file.relative_to(path).as_posix()} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
