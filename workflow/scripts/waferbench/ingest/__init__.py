"""Wafers from a user's files: LSWMD.pkl, an .npz archive, or a folder with a folder per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from waferbench.errors import InputError
from waferbench.ingest.folder import read_folder
from waferbench.ingest.lswmd import read_lswmd
from waferbench.ingest.npz import read_npz
from waferbench.ingest.table import WaferSet, require_classes

READERS = {"lswmd": read_lswmd, "npz": read_npz, "folder": read_folder}


def read_wafers(dataset: Mapping) -> WaferSet:
    """Read the ``dataset`` section of the configuration.

    Args:
        dataset: ``source`` (lswmd, npz or folder), ``path``, ``classes`` (names that the data must hold).

    Raises:
        InputError: no such file, damaged content, or a configured class that the data lack.
    """
    source, path = dataset["source"], Path(dataset["path"])
    if source not in READERS:
        raise InputError(f"dataset.source: {source!r} is none of {', '.join(READERS)}")
    if source == "folder" and not path.is_dir():
        raise InputError(f"dataset.path: {path} is {_what(path)}, expected a folder with a folder per class")
    if source != "folder" and not path.is_file():
        raise InputError(f"dataset.path: {path} is {_what(path)}, expected the {source} file; correct the path")
    wafers = READERS[source](path)
    require_classes(set(wafers.classes), dataset.get("classes", ()), path)
    return wafers


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "a file" if path.exists() else "not there"
