"""Files of others are opened only where they are files: a pipe, a device or a socket would keep its reader for ever."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from waferbench.base.errors import InputError

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def is_regular(path: str | Path) -> bool:
    """Whether a file, or a link to one, is there.

    Raises:
        InputError: something else is there, which is named.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    _require_regular(path, mode)
    return True


def open_regular(path: str | Path) -> BinaryIO:
    """A file opened for reading bytes, links followed; never waits for whoever writes into a pipe.

    Raises:
        InputError: nothing is there, or no file.
    """
    if not is_regular(path):  # before it is opened: to open a device may already do something
        raise InputError(f"{path}: nothing there, expected a file; correct the path")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)  # it may have been replaced meanwhile
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_small(path: str | Path, most: int) -> bytes:
    """A file's bytes; `InputError` as by `open_regular`, or where there are more than ``most``."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: found more than {most:,} bytes, expected a small file; take an unaltered one")
    return content


def _require_regular(path: str | Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = KINDS.get(stat.S_IFMT(mode), "something else")
        raise InputError(f"{path}: found {found}, expected a file; remove it, or give the path of a file")
