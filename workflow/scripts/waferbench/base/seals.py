"""The digest that each artifact carries of itself, so that a flipped bit or a missing end is seen and named.

It is the sha256 of the file's bytes with 64 zeros in the digest's own place. It stands in the metadata of every format
alike, behind a mark that is searched for in the raw bytes, so that no reader is needed to check it, and it stays with
the file wherever that is copied.

Behind another mark stands the digest of the payload, which is what the next stage reads: what an artifact was made by
changes the file's digest and leaves that one as it is.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from waferbench.base.errors import InputError

MARK = "waferbench-sha256:"
BLANK = MARK + 64 * "0"
SEALED = {".h5", ".parquet", ".safetensors", ".json"}  # what `waferbench.base.artifacts` writes
FACTS = "waferbench.json"  # in a folder that is an artifact: digests of its files
MAKING = ("rule", "wildcards", "settings", "code", "inputs", "data", "made_by")  # of provenance; no part of a payload
PAYLOAD_MARK = "waferbench-payload:"
STORE = ".store"  # in a study's folder: results that it had before
NO_ARTIFACTS = {"runs", "logs", "code", ".checkpoints", STORE, "ro-crate-metadata.json"}
_SEAL = re.compile(MARK.encode() + rb"[0-9a-f]{64}")
_PAYLOAD = re.compile(PAYLOAD_MARK.encode() + rb"([0-9a-f]{64})")
CHUNK = 1 << 24


def seal(path: str | Path) -> None:
    """Put a new file's digest in the place of the `BLANK` that its metadata hold.

    Raises:
        InputError: there is not exactly one `BLANK`.
    """
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        places = [found.start() for found in _SEAL.finditer(content)]
        if len(places) != 1:
            raise InputError(
                f"{path}: {len(places)} places for its digest, expected one; is a wafer, lot or class called {MARK}...?"
            )
        start = places[0] + len(MARK)
        content[start : start + 64] = _digest(content, start).encode()


def verify(path: str | Path) -> None:
    """Hold an artifact, a file or a folder with a `describe` of its files, against the digest it carries.

    Raises:
        InputError: another byte than was written, a missing end, or no digest at all.
    """
    path = Path(path)
    if path.is_dir():
        return _verify_folder(path)
    if not path.stat().st_size:
        raise _damaged(path, "it is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        places = [found.start() for found in _SEAL.finditer(content)]
        if len(places) != 1:
            raise _damaged(path, "the digest that it was written with is not in it")
        start = places[0] + len(MARK)
        told, found = content[start : start + 64].decode(), _digest(content, start)
    if told != found:
        raise _damaged(path, f"its content has sha256 {found[:12]}..., it was written with {told[:12]}...")


def payload_digest(path: str | Path) -> str:
    """sha256 of what the next stage reads of an artifact, as it was written with; of a folder by its own JSON file.

    What bears no mark of a payload, or several, is known by all of its bytes.
    """
    path = Path(path)
    if path.is_dir():
        facts = path / FACTS
        return payload_digest(facts) if facts.is_file() else joined(describe(path))
    if path.suffix in SEALED and path.stat().st_size:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = _PAYLOAD.findall(content)
        if len(found) == 1:
            return found[0].decode()
    return file_digest(path)


def sealed_in(study: str | Path) -> Iterator[Path]:
    """The artifacts in a study's folder, files and folders, in order."""
    study = Path(study)
    folders = {path.parent for path in study.rglob(FACTS)}
    for path in sorted(study.rglob("*")):
        own = not NO_ARTIFACTS & set(path.relative_to(study).parts) and not folders & set(path.parents)
        if own and (path in folders or (path.suffix in SEALED and path.is_file())):
            yield path


def describe(folder: str | Path) -> dict[str, str]:
    """sha256 of each file of a folder by its relative path, for the folder's own JSON file."""
    folder = Path(folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".snakemake"))
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def joined(digests: Mapping[str, str]) -> str:
    """sha256 of the names and digests of files."""
    text = "\n".join(f"{name} {found}" for name, found in digests.items())
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify_folder(folder: Path) -> None:
    facts = folder / FACTS
    if not facts.is_file():
        raise _damaged(folder, f"{FACTS} is missing in it")
    verify(facts)
    told, found = json.loads(facts.read_text())["files"], describe(folder)
    found.pop(facts.name)
    for name in sorted(told.keys() | found.keys()):
        if name not in found:
            raise _damaged(folder, f"{name} is missing")
        if told.get(name) != found[name]:
            raise _damaged(folder, f"{name} is another file than was written")


def _digest(content: mmap.mmap, start: int) -> str:
    """Of all bytes, those of the digest at ``start`` taken as zeros."""
    total = hashlib.sha256()
    for low, high in ((0, start), (start + 64, len(content))):
        if low:
            total.update(64 * b"0")
        for at in range(low, high, CHUNK):
            total.update(content[at : min(high, at + CHUNK)])
    return total.hexdigest()


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"{path}: damaged: {what}; delete it (rm -r '{path}') and have it made again (add '{path}' to the study's "
        "command), then go on as before"
    )
