"""The weights manifest: where published weights come from and what they are. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from waferbench.base.errors import InputError, readable
from waferbench.base.regular import read_small

MOST_BYTES = 2**22
NEEDED = {"wheel": ("package",), "hub": ("repo",), "url": ("url",), "file": ()}  # beside file
# nobody in between can change what comes from there
ADDRESS = re.compile(r"(?:https://|http://(?:127\.0\.0\.1|localhost)(?::\d+)?/)[\x21-\x7e]+")
PATTERNS = {
    "package": re.compile(r"[A-Za-z_]\w*", re.ASCII),
    "repo": re.compile(r"[\w.-]+/[\w.-]+", re.ASCII),
    "url": ADDRESS,
    "keys": re.compile("own|order"),
    "sha256": re.compile(r"[0-9a-f]{8,64}"),
}


def load_manifest(path: str | Path) -> dict[str, dict]:
    """Network name -> licence, mean, std, batch_norm, sources.

    Raises:
        InputError: not YAML, or an entry that is none: an unknown kind of source, a path that leaves its folder, an
            address that is neither https nor on this machine, a digest that is none.
    """
    with readable(path, "weights manifest", "correct it"):
        found = yaml.safe_load(read_small(path, MOST_BYTES).decode())
    return checked_manifest(found, str(path))


def checked_manifest(entries: Any, where: str) -> dict[str, dict]:
    """These entries, each held against what a manifest may say; `InputError` as by `load_manifest`."""
    if not isinstance(entries, Mapping):
        raise InputError(f"{where}: found a {type(entries).__name__}, expected a mapping of networks to their weights")
    for name, entry in entries.items():
        if not isinstance(name, str) or not isinstance(entry, Mapping):
            raise InputError(f"{where}: found {name!r}: {entry!r}, expected a network's name and its entry")
        for key in ("mean", "std"):
            if key in entry and not _three_numbers(entry[key]):
                raise InputError(f"{where}: {name}.{key}: found {entry[key]!r}, expected three numbers")
        sources = entry.get("sources", [])
        if not isinstance(sources, list):
            raise InputError(f"{where}: {name}.sources: found {sources!r}, expected a list")
        for i, source in enumerate(sources):
            _check_source(source, f"{where}: {name}.sources[{i}]")
    return dict(entries)


def _check_source(source: Any, where: str) -> None:
    if not isinstance(source, Mapping) or str(source.get("kind")) not in NEEDED:
        raise InputError(f"{where}: found {source!r}, expected a kind of {', '.join(NEEDED)} and a file")
    for key in ("file", *NEEDED[source["kind"]]):
        if not isinstance(source.get(key), str):
            raise InputError(f"{where}.{key}: found {source.get(key)!r}, expected a text")
    path = PurePosixPath(source["file"])
    if not path.name or path.is_absolute() or ".." in path.parts or "\0" in source["file"]:
        raise InputError(f"{where}.file: found {source['file']!r}, expected a path that stays in its folder")
    for key, pattern in PATTERNS.items():
        if source.get(key) is not None and not (isinstance(source[key], str) and pattern.fullmatch(source[key])):
            raise InputError(f"{where}.{key}: found {source[key]!r}, expected {pattern.pattern}")


def _three_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(part) in (int, float) for part in value)
