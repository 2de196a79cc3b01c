"""Results that studies share: one folder, an entry per job, found by everything that decides the job's result."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from waferbench.base.files import canonical_json, digest, partial

MANIFEST = "entry.json"


class Cache:
    """A folder of entries ``<sha256 of made_from>/``: a job's outputs, and ``entry.json`` with their digests.

    An entry appears whole or not at all, is read by copying, and is checked after copying; it never changes. Whatever
    is wrong with the folder is said on stderr and costs nothing but the sharing: the caller computes.

    Args:
        folder: it is made when the first entry is; entries get its rights, so that who may use it may use them.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def fetch(self, made_from: Mapping, outputs: Sequence[str | Path]) -> dict | None:
        """Put an entry's files in place of these outputs.

        Args:
            made_from: all that decides the outputs, any JSON-able mapping.
            outputs: files and folders, in the order in which they were stored.

        Returns:
            What was recorded when the entry was made, or None: there is no such entry, or it is damaged.
        """
        entry = self.folder / _key(made_from, outputs)
        copies = [partial(Path(path)) for path in outputs]
        try:
            if not entry.is_dir():
                return None
            known = json.loads((entry / MANIFEST).read_text())
            if known["made_from"] != _plain(made_from):
                raise ValueError("it says it was made from something else")
            if not isinstance(known["record"], dict):
                raise ValueError("its record is none")
            if not all((entry / str(i)).exists() for i in range(len(outputs))):
                raise ValueError("a part of it is missing")
            for i, copy in enumerate(copies):
                copy.parent.mkdir(parents=True, exist_ok=True)
                _copy(entry / str(i), copy)
                if digest(copy) != known["digests"][i]:
                    raise ValueError(f"the digest of {Path(outputs[i]).name} is not the one recorded")
            for copy, path in zip(copies, outputs, strict=True):
                _replace(copy, Path(path))
            with suppress(OSError):
                os.utime(entry)  # when it was last of use, for whoever clears the folder
            return known["record"]
        except OSError as error:  # not the entry's fault, or not ours to judge: another may be able to read it
            _say(f"{entry} could not be taken ({error}); computing instead")
            return None
        except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
            done = "it is removed" if self._discard(entry) else "it is not ours to remove"
            _say(f"{entry} is damaged ({error}); {done}, and made anew here")
            return None
        finally:
            for copy in copies:
                _remove(copy)

    def store(self, made_from: Mapping, outputs: Sequence[str | Path], record: Mapping) -> None:
        """Add an entry of these outputs; of two that are made at once the first stays."""
        entry = self.folder / _key(made_from, outputs)
        making = self.folder / f".{uuid4().hex}"
        try:
            if entry.is_dir():
                return
            making.mkdir(parents=True)
            for i, path in enumerate(outputs):
                _copy(Path(path), making / str(i))
            digests = [digest(making / str(i)) for i in range(len(outputs))]
            known = {"made_from": dict(made_from), "digests": digests, "record": dict(record)}
            (making / MANIFEST).write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
            _share(making, self.folder.stat().st_mode)
            with suppress(OSError):  # another study was quicker
                making.rename(entry)
        except OSError as error:
            _say(f"nothing added to {self.folder} ({error}); the study goes on without")
        finally:
            _remove(making)

    def _discard(self, entry: Path) -> bool:
        """Make room for a sound entry, where we may; renamed first, so that nobody meets half of it."""
        away = self.folder / f".{uuid4().hex}"
        try:
            entry.rename(away)
        except OSError:
            return False
        _remove(away)
        return True


def _key(made_from: Mapping, outputs: Sequence[str | Path]) -> str:
    names = [Path(path).name for path in outputs]
    return hashlib.sha256(canonical_json([made_from, names]).encode()).hexdigest()


def _plain(value: Mapping) -> Any:
    """As it comes back from JSON."""
    return json.loads(canonical_json(value))


def _copy(source: Path, target: Path) -> None:
    """A file or folder with new times: as an output it is new, and Snakemake compares times."""
    if source.is_dir():
        hidden = shutil.ignore_patterns(".snakemake*")
        shutil.copytree(source, target, copy_function=shutil.copyfile, ignore=hidden)
    else:
        shutil.copyfile(source, target)


def _replace(copy: Path, path: Path) -> None:
    if copy.is_dir():
        _remove(path)
    os.replace(copy, path)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _share(folder: Path, mode: int) -> None:
    """Give an entry the rights of the folder that holds it, whatever the maker's umask."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(mode & (0o777 if path.is_dir() else 0o666))


def _say(text: str) -> None:
    print(f"cache: {text}", file=sys.stderr)
