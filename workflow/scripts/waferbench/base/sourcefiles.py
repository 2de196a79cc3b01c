"""Which files of a folder of the user's own are read: one list for readers, digests and identities alike.

Whatever else lies beside the wafers or the weights (a README, what file managers and editors leave) changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.base.regular import is_regular

LEFT_BY_SYSTEMS = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}


@dataclass(frozen=True)
class Kind:
    """What is read of a folder: files of these endings, in the folder itself, in folders in it, or both."""

    endings: tuple[str, ...]
    depths: tuple[int, ...]


COMMIT = re.compile("[0-9a-f]{40}")  # of a revision of the hub
MAPS, XML = (".npy", ".png"), (".xml",)
KINDS = {"folder": Kind(MAPS, (2,)), "g85": Kind(XML, (1, 2))}  # by the source of a data set
WAFERS = Kind(MAPS + XML, (1, 2))  # wafers of any source, with classes or without
NETWORK = Kind((".json", ".safetensors", ".txt"), (1, 2))  # a model in diffusers' layout, or one part of it


def kind_of(path: Path) -> Kind:
    """What is read of a folder that nothing is said of: of a model in diffusers' layout its parts, else wafers."""
    return NETWORK if (path / "unet").is_dir() else WAFERS


def files_of(path: str | Path, kind: Kind | None = None) -> list[Path]:
    """The file, or the files of the folder that are read, in order; those of linked folders in it included.

    Args:
        kind: what is read of a folder; None: by what it looks like.

    Raises:
        InputError: what is called like one of them is a pipe, a device or a socket, or a link to nothing.
    """
    path = Path(path)
    if not path.is_dir():
        return [path]
    kind = kind or kind_of(path)
    found = [file for file in _all(path, kind.depths) if file.suffix.lower() in kind.endings and not file.is_dir()]
    for file in found:
        if not is_regular(file):
            raise InputError(f"{file}: found a link to nothing, expected a file; mend it or remove it")
    return sorted(found)


def passed_over(path: Path, kind: Kind) -> list[Path]:
    """The files of the folder that lie where others are read and are not, hidden ones included."""
    files = {file for file in _all(path, (1, 2), hidden=True) if not file.is_dir()}
    return sorted(files - set(files_of(path, kind)))


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is one that systems keep for themselves."""
    return path.name.startswith(".") or path.name in LEFT_BY_SYSTEMS


def _all(path: Path, depths: tuple[int, ...], hidden: bool = False) -> Iterator[Path]:
    """What lies so deep in a folder, links followed; hidden things are shown, hidden folders not entered."""
    for name in os.listdir(path):
        entry = path / name
        if is_hidden(entry) and not hidden:
            continue
        if 1 in depths:
            yield entry
        if 2 in depths and not is_hidden(entry) and entry.is_dir():
            yield from _all(entry, (1,), hidden)
