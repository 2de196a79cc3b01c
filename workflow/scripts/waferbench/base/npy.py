"""Arrays out of ``.npy`` and ``.npz`` files that anybody may have written: no objects, and no more than the file holds.

numpy's own reader refuses objects, but it reserves what a header asks for, takes records and dates, hands out texts of
numbers that are no characters, and lets a zip archive unpack to a thousand times its size and more. Here a header must
agree with the bytes behind it, values are numbers or texts, and an archive may not swell beyond `RATIO` once it is
larger than `SMALL`.
"""

from __future__ import annotations

import math
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from waferbench.base.errors import InputError, readable
from waferbench.base.regular import open_regular

KINDS = "biufUS"  # numbers and texts
SMALL, RATIO = 2**28, 200  # bytes, unpacked bytes a byte of the archive
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
SUFFIX = ".npy"


def read_npy(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
        InputError: damaged, or its header promises more than the file holds.
    """
    with readable(path, "array of numbers", "save it by numpy.save"), open_regular(path) as file:
        return _array(file, path.stat().st_size)


def read_npz(path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` archive, in its order: those of ``names`` that are there, or all.

    Raises:
        InputError: damaged, packed otherwise than numpy does, or far larger unpacked than packed.
    """
    with _opened(path) as archive:
        members = {m.filename.removesuffix(SUFFIX): m for m in archive.infolist() if m.filename.endswith(SUFFIX)}
        wanted = [name for name in members if names is None or name in set(names)]
        _check_sizes(path, [members[name] for name in wanted])
        return {name: _member(path, archive, name, members[name]) for name in wanted}


def array_names(path: Path) -> list[str]:
    """The names of the arrays of an ``.npz`` archive."""
    with _opened(path) as archive:
        return [name.removesuffix(SUFFIX) for name in archive.namelist()]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with (
        readable(path, ".npz archive", "download or write it again"),
        open_regular(path) as file,
        zipfile.ZipFile(file) as archive,
    ):
        yield archive


def _check_sizes(path: Path, members: list[zipfile.ZipInfo]) -> None:
    size, total = path.stat().st_size, sum(member.file_size for member in members)
    if total > max(SMALL, RATIO * size):
        raise InputError(
            f"{path}: {size:,} bytes that unpack to {total:,}, expected at most {RATIO} times as many; "
            "write it again with numpy.savez, which does not pack"
        )
    for member in members:
        # zipfile unpacks the other methods in one go, whatever size the archive states
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path}: {member.filename!r} is packed by another method than numpy's; write it again")


def _member(path: Path, archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> np.ndarray:
    try:
        with archive.open(member) as file:
            return _array(file, member.file_size)
    except Exception as error:  # zlib, zip and header faults come as many types
        raise InputError(
            f"{path}: array {name!r} cannot be read ({error}); write plain numbers and strings, no objects"
        ) from error


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of a stream of ``size`` bytes; a ValueError where the header is at odds with them."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"version {version} of the format, expected 1.0 or 2.0")
    shape, _, dtype = HEADERS[version](file)
    if dtype.kind not in KINDS or not dtype.itemsize:  # texts of no characters: any number would fit
        raise ValueError(f"values of type {dtype}, expected numbers or texts")
    needed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or needed > there:
        raise ValueError(f"a header of shape {shape} and type {dtype} over {there} bytes, expected {needed}")
    file.seek(0)
    return require_characters(npy.read_array(file, allow_pickle=False))


def require_characters(array: np.ndarray) -> np.ndarray:
    """The array; a ValueError where it is of texts and a number in it is no character, which numpy never looks at."""
    if array.dtype.kind == "U" and array.dtype.itemsize:
        codes = np.ascontiguousarray(array).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if codes.size and codes.max() > sys.maxunicode:
            raise ValueError(f"the character number {codes.max():,} in a text")
    return array
