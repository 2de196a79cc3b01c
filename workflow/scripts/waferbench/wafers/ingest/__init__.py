"""Wafers from a user's files: LSWMD.pkl, an .npz archive, a folder of maps, a die list, or SEMI G85 maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.base.regular import is_regular
from waferbench.base.sourcefiles import KINDS, files_of
from waferbench.config.stages import Ingest
from waferbench.wafers.ingest.dielist import PASS_BINS, read_dielist
from waferbench.wafers.ingest.folder import read_folder
from waferbench.wafers.ingest.g85 import read_g85
from waferbench.wafers.ingest.lswmd import read_lswmd
from waferbench.wafers.ingest.npz import read_npz
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, require_classes, require_names

READERS = {"lswmd": read_lswmd, "npz": read_npz, "folder": read_folder}  # of maps
BIN_READERS = {"dielist": read_dielist, "g85": read_g85}  # of bins, which pass or fail
SOURCES = (*READERS, *BIN_READERS)
SUFFIXES = {".pkl": "lswmd", ".npz": "npz", ".csv": "dielist", ".xml": "g85"}


def read_wafers(path: str | Path, settings: Ingest) -> WaferSet:
    """Read a study's wafers; those without a class are left out.

    Args:
        path: the file or folder, of the format that the settings name.
        settings: of the stage ``ingest``, for any source but simulated wafers.

    Raises:
        InputError: no such file, damaged content, or a configured class that the data lack.
    """
    source, path = settings.source, Path(path)
    if source not in SOURCES:
        raise InputError(f"dataset.source: {source!r} is none of {', '.join(SOURCES)}")
    if source == "folder" and not path.is_dir():
        raise InputError(f"dataset.path: {path} is {_what(path)}, expected a folder with a folder per class")
    if not (path.is_dir() or is_regular(path)) or (path.is_dir() and source not in ("folder", "g85")):
        raise InputError(f"dataset.path: {path} is {_what(path)}, expected the {source} file; correct the path")
    if source in BIN_READERS:
        wafers = _labelled(BIN_READERS[source](path, settings.pass_bins or PASS_BINS)[0], path)
    else:
        wafers = READERS[source](path)
    require_names(wafers, path)
    require_classes(set(wafers.classes), settings.classes, path)
    return wafers


def read_unlabelled(path: str | Path, pass_bins: Sequence[str] = PASS_BINS) -> tuple[WaferSet, list[str]]:
    """Read wafers whose class need not be known, in any of the formats; the name's ending says which.

    Args:
        path: ``.npz``, ``.pkl`` (LSWMD), ``.csv`` (die list), ``.xml`` (SEMI G85), or a folder of maps or of ``.xml``.
        pass_bins: bins that pass, where a file holds bins.

    Returns:
        The wafers, class "" where unknown; and of each the bins that count as failing though the file does not say
        so, parted by blanks.

    Raises:
        InputError: no such file, an ending that is none of these, damaged content, no wafer, or an id twice.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"wafers: nothing at {path}; give the path of a file or folder of wafers")
    source = _folder_source(path) if path.is_dir() else is_regular(path) and SUFFIXES.get(path.suffix.lower())
    if not source:
        raise InputError(
            f"wafers: {path} ends in {path.suffix!r}, expected {', '.join(SUFFIXES)} or a folder of .npy, .png or .xml"
        )
    if source in BIN_READERS:
        wafers, bins = BIN_READERS[source](path, pass_bins)
    else:
        wafers = READERS[source](path, labelled=False)
        bins = [""] * len(wafers.ids)
    if not wafers.ids:
        raise InputError(f"{path}: no wafers in it")
    name, count = Counter(wafers.ids).most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: the wafer id {name!r} stands for {count} wafers; ids must differ")
    require_names(wafers, path)
    return wafers, bins


def _folder_source(path: Path) -> str:
    return "g85" if files_of(path, KINDS["g85"]) else "folder"


def _labelled(wafers: WaferSet, path: Path) -> WaferSet:
    kept = [i for i, name in enumerate(wafers.classes) if name]
    if not kept:
        raise InputError(
            f"{path}: none of {len(wafers.ids)} wafers has a class; a die list needs a column `class`, SEMI G85 maps a "
            "folder a class"
        )
    _, classes, lots, ids = ([part[i] for i in kept] if k else [] for k, part in enumerate(wafers))
    return WaferSet(WaferStore.of(wafers.store.take(kept)), classes, lots, ids)


def _what(path: Path) -> str:
    return "a folder" if path.is_dir() else "a file" if path.exists() else "not there"
