"""Wafer maps in a folder with a folder per class: PNG images of three greys, or ``.npy`` die arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from waferbench.base.errors import InputError, readable
from waferbench.base.npy import read_npy
from waferbench.base.progress import progress
from waferbench.base.sourcefiles import KINDS, MAPS, Kind, files_of, is_hidden
from waferbench.wafers.ingest.beside import tell_passed_over
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, as_map, require_size

# the two ways to write off-wafer, pass, fail; 127 and 128 are both "half of 255"
DIES = {0: 0, 1: 1, 2: 2}
GREYS = {0: 0, 127: 1, 128: 1, 255: 2}
LOOSE = Kind(MAPS, (1, 2))  # wafers without a class, too
LOSSY = {".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def read_folder(path: Path, labelled: bool = True) -> WaferSet:
    """Read ``path/<class name>/*.png`` and ``*.npy``; other files and what is hidden are passed over.

    The class is the name of the folder; ids are the paths below ``path``. Lots are unknown. Where wafers need not be
    ``labelled``, those in ``path`` itself are read too, of class "".

    Raises:
        InputError: no class folders, a class folder without maps, or a file that is not a wafer map.
    """
    kind = KINDS["folder"] if labelled else LOOSE
    files = sorted(files_of(path, kind), key=lambda file: (file.parent != path, file))
    _check(path, files, labelled)
    tell_passed_over(path, kind)
    maps, classes, ids = [], [], []
    for file in progress(files, "reading wafers", len(files)):
        maps.append(_read_png(file) if file.suffix.lower() == ".png" else _read_npy(file))
        classes.append(file.parent.name if file.parent != path else "")
        ids.append(file.relative_to(path).as_posix())
    return WaferSet(WaferStore.of(maps), classes, [""] * len(maps), ids)


def _check(path: Path, files: list[Path], labelled: bool) -> None:
    """`InputError` where nothing is read of a class, or where there are images that lose dies."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not is_hidden(folder))
    if labelled and not folders:
        raise InputError(f"{path}: no class folders; put the maps of each class into a folder named after it")
    for place in folders if labelled else [path, *folders]:
        images = (file for file in sorted(place.iterdir()) if file.suffix.lower() in LOSSY)
        lossy = next((file for file in images if file.is_file() and not is_hidden(file)), None)
        if lossy is not None:
            raise InputError(f"{lossy}: found an image of type {lossy.suffix}, expected .png or .npy; convert it")
    filled = {file.parent for file in files}
    for folder in folders:
        try:
            folder.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{path}: the folder name {folder.name!r} is not UTF-8; rename it") from None
        if folder not in filled:
            raise InputError(f"{folder}: no .png or .npy file; add maps of this class or remove the folder")
    if not files:
        raise InputError(f"{path}: no .png or .npy file; put the maps there, one file a wafer")


def _read_png(file: Path) -> np.ndarray:
    with readable(file, "PNG", "write it again"), Image.open(file, formats=["PNG"]) as image:
        require_size(image.size[::-1], str(file))  # before anything is unpacked
        image.verify()  # decoding does not look at check sums: a flipped bit would be another die
    with readable(file, "PNG", "write it again"), Image.open(file, formats=["PNG"]) as image:
        pixels = np.asarray(image.convert("RGBA") if image.mode in ("P", "PA", "RGB", "RGBA", "LA") else image)
    if pixels.ndim == 3:
        if (pixels[..., :3] != pixels[..., :1]).any() or (pixels[..., 3] != 255).any():
            raise InputError(f"{file}: found colours or transparency, expected greys; save it as 8-bit grey")
        pixels = pixels[..., 0]
    if pixels.dtype == bool:
        pixels = pixels * np.uint8(255)
    levels = np.unique(pixels).tolist()
    for codes in (DIES, GREYS):
        if set(levels) <= set(codes):
            table = np.zeros(256, np.uint8)
            table[list(codes)] = list(codes.values())
            return as_map(table[pixels], str(file))
    shown = ", ".join(map(str, levels[:6])) + (", ..." if len(levels) > 6 else "")
    raise InputError(
        f"{file}: found {len(levels)} grey levels ({shown}), expected off-wafer, pass, fail as 0, 1, 2 or 0, 127-128, "
        "255; save one pixel a die, without smoothing"
    )


def _read_npy(file: Path) -> np.ndarray:
    return as_map(read_npy(file), str(file))
