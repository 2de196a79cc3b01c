"""What is remembered of the user's own large files, so that gigabytes are read once and not in every planning.

An entry says: so were path, size, times and inode of each file when this digest was taken. It is made only where all
times lay some seconds back then, as git does it for its index: a file that is written once more within the same tick of
the clock would look the same. A memo that is lost, damaged or cannot be written costs the time to read the files again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.base.files import atomic, content_digest
from waferbench.base.regular import read_small
from waferbench.base.sourcefiles import Kind, files_of

MEMO = Path(".snakemake/waferbench/digests.json")  # of the folder that Snakemake works in, for all its studies
MOST_BYTES, MOST_ENTRIES = 2**20, 500
SETTLED = 2.0  # seconds: no file system keeps times coarser
WORTH = 2**22  # bytes: less is read as quickly as it is looked up
OPENING = 2**12  # bytes that could be read while a file is opened
LONG = 10**9  # bytes: reading them is told
DIGEST = re.compile("[0-9a-f]{64}")


def known_digest(path: Path, kind: Kind, memo: Path = MEMO) -> str:
    """`content_digest` of a file, or of the files of a folder that are read, out of the memo where it holds it.

    Raises:
        InputError: nothing there, or a pipe, a device or a socket.
    """
    files = files_of(path, kind)
    now, stats = time.time(), [os.stat(file) for file in files]
    size = sum(stat.st_size for stat in stats)
    if size + OPENING * len(files) < WORTH:
        return content_digest(path, kind)
    place, look = os.path.abspath(path), _look(files, stats)
    entries = _entries(memo)
    if place in entries and entries[place][0] == look:
        return entries[place][1]
    if size > LONG:
        print(f"{path}: reading {size / 1e9:.1f} GB to know the content; once", file=sys.stderr)
    digest = content_digest(path, kind)
    settled = all(max(stat.st_mtime, stat.st_ctime) <= now - SETTLED for stat in stats)
    if settled and _look(files, [os.stat(file) for file in files]) == look:
        _remember(memo, place, look, digest)
    return digest


def _look(files: Sequence[Path], stats: Sequence[os.stat_result]) -> str:
    """One digest of all that a listing says of these files."""
    lines = [
        f"{file} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
        for file, stat in zip(files, stats, strict=True)
    ]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _entries(memo: Path) -> dict[str, list[str]]:
    """By path: how its files looked, and their digest. Empty where the memo is no such thing."""
    try:
        found = json.loads(read_small(memo, MOST_BYTES))
    except (OSError, ValueError, RecursionError, InputError):
        return {}
    return {path: pair for path, pair in found.items() if _is_entry(pair)} if isinstance(found, dict) else {}


def _is_entry(pair: object) -> bool:
    return (
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(text, str) and DIGEST.fullmatch(text) for text in pair)
    )


def _remember(memo: Path, place: str, look: str, digest: str) -> None:
    entries = _entries(memo)  # again: another process may have written meanwhile
    entries.pop(place, None)
    newest = [*entries.items(), (place, [look, digest])][-MOST_ENTRIES:]
    try:
        with atomic(memo) as temporary:
            temporary.write_text(json.dumps(dict(newest), indent=1))
    except OSError:  # a folder that cannot be written: the files are read each time
        return
