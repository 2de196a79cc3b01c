"""The identity of the user's own data, taken while the workflow is planned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
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
    if (dataset["source"] == "folder") != path.is_dir():
        expected = "a folder with a folder per class" if dataset["source"] == "folder" else "a file"
        raise InputError(f"dataset.path: {path} is not {expected}, which dataset.source = {dataset['source']} needs")
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    lines = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
