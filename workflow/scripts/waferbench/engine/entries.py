"""What an entry of a store of results tells of itself, and what its files must be.

Whoever may write in the store's folder may write both: a manifest of any shape, and files that agree with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from waferbench.base.files import canonical_json
from waferbench.base.seals import FACTS, SEALED, verify
from waferbench.engine.guarded import DEEPEST, Folder, Unfit

MANIFEST = "entry.json"
SEAL = "sha256"  # of all else that the manifest says
MOST = 1 << 20  # bytes of a manifest


class Recorded(NamedTuple):
    """A file of an entry, as its manifest tells it."""

    size: int  # bytes
    sha256: str


Output = dict[str, Recorded]  # the files of one output by their path in it; a file that is an output has the path ""


def manifest(key: Mapping, outputs: Sequence[Output], record: Mapping) -> bytes:
    """The text of a manifest; `Unfit` where it would be too long."""
    told = {"key": dict(key), "outputs": outputs, "record": dict(record)}
    text = json.dumps({**told, SEAL: _seal(told)}, indent=1, sort_keys=True).encode() + b"\n"
    if len(text) > MOST:
        raise Unfit(f"its {MANIFEST} would have more than {MOST:,} bytes: too many files")
    return text


def read_manifest(entry: Folder, key: Mapping, outputs: int) -> tuple[list[Output], dict]:
    """The files of each output, and the record; `ValueError` for anything else than what `Store.add` writes."""
    known = json.loads(entry.read(MANIFEST, MOST))
    if not isinstance(known, dict) or known.pop(SEAL, None) != _seal(known):
        raise ValueError(f"its {MANIFEST} is not as it was written")
    if known.get("key") != json.loads(canonical_json(key)):
        raise ValueError("it says it was made from something else")
    if not isinstance(known.get("record"), dict):
        raise ValueError("its record is none")
    recorded = known.get("outputs")
    if not isinstance(recorded, list) or len(recorded) != outputs or not all(map(_is_output, recorded)):
        raise ValueError("it does not tell its files")
    return [{path: Recorded(*facts) for path, facts in files.items()} for files in recorded], known["record"]


def _seal(told: Mapping) -> str:
    return hashlib.sha256(canonical_json(told).encode(errors="surrogatepass")).hexdigest()


def _is_output(files: Any) -> bool:
    """Whether it tells of one output: inner paths that lead nowhere else, each with a size and a digest."""
    if not isinstance(files, dict) or ("" in files and len(files) > 1):
        return False
    paths = [path.split("/") for path in files if path]
    inside = all(len(path) < DEEPEST and not {"", ".", ".."} & set(path) for path in paths)
    return inside and all(
        isinstance(facts, list) and [type(fact) for fact in facts] == [int, str] for facts in files.values()
    )


def require_artifact(path: Path, output: Path) -> None:
    """Hold what is to be an output against what its name says and what the jobs that read it will ask of it.

    A name without a suffix is a folder's, one that artifacts have is a file's. These files and all folders carry their
    own digest, which must hold; a picture, a page or a network for elsewhere may be anything.

    Args:
        path: where it lies now. output: where it belongs.
    """
    folder, sealed = path.is_dir(), output.suffix in SEALED
    if (folder and sealed) or not (folder or output.suffix):
        raise Unfit(f"{output.name} is {'a folder' if folder else 'a file'}, its name is that of another kind")
    if not (folder or sealed):
        return
    facts = path / FACTS
    if folder and facts.is_file() and facts.stat().st_size > MOST:
        raise Unfit(f"{output.name}/{FACTS} has more than {MOST:,} bytes")
    try:
        verify(path)
    except OSError:
        raise
    except Exception as error:  # who seals on purpose may have written anything, and the digests would hold
        told = str(error).partition("; ")[0].removeprefix(f"{path}: ")
        raise Unfit(f"{output.name} is no artifact: {told}") from error
