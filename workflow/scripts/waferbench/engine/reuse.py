"""A job's outputs from where they were computed before: the study's own store, or the cache that studies share."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from waferbench.base.errors import InputError
from waferbench.base.files import data_digest
from waferbench.base.seals import STORE
from waferbench.config.stages import Place
from waferbench.engine.codehash import code_digest, distributions
from waferbench.engine.interpreter import distribution_digest, patched
from waferbench.engine.store import Store, can_link


@dataclass(frozen=True)
class Reuse:
    """Where a job's outputs may be kept.

    Attributes:
        name: of the job.
        made_from: all that decides the outputs.
        outputs: files and folders.
        place: of the data that it reads, if any.
        own, cache: of the study, and of all studies; None where the job's outputs are not kept there.
    """

    name: str
    made_from: Mapping[str, Any]
    outputs: Sequence[str]
    place: Place
    own: Store | None
    cache: Store | None

    @cached_property
    def shared_key(self) -> dict[str, Any]:
        """Users differ in what they have installed under one version, too."""
        return {**self.made_from, "packages": _packages_now()}

    def fetch(self) -> dict | None:
        """Put the outputs in their places, if they were computed before; the record of that."""
        record = self.own.fetch(self.made_from, self.outputs) if self.own else None
        if record is not None:
            self._say(f"computed before, taken from {self.own.folder}")
        elif self.cache and (record := self.cache.fetch(self.shared_key, self.outputs)) is not None:
            self._say(f"computed before, taken from {self.cache.folder}")
            if self.own:
                self.own.add(self.made_from, self.outputs, record)
        return record

    def add(self, record: dict, not_kept: str = "", not_shared: str = "") -> None:
        """Keep the outputs, unless they may be others than the key says.

        Args:
            not_kept, not_shared: why they may be, or may be on another machine; "": no such reason is known.
        """
        if not (self.own or self.cache):
            return
        if reason := not_kept or patched() or self._changed():
            self._say(f"not kept: {reason}")
            return
        if self.own:
            self.own.add(self.made_from, self.outputs, record)
        if self.cache and not_shared:
            self._say(f"not added to {self.cache.folder}: {not_shared}")
        elif self.cache:
            self.cache.add(self.shared_key, self.outputs, record)

    def _changed(self) -> str:
        """What has changed since the study was planned, or since the data were read: an edit meanwhile must not reach
        others, nor this study later."""
        now = _code_now()
        if now != self.made_from["code"]:
            return f"code or packages are not those of the plan ({now})"
        path, digested = self.place.path, self.made_from.get("data") or self.made_from["inputs"].get("data")
        return f"{path} has changed meanwhile" if path and data_digest(path, self.place.source) != digested else ""

    def _say(self, text: str) -> None:
        print(f"{self.name}: {text}", file=sys.stderr)


def told(study: Path) -> list[str]:
    """What to say before a run of how its results can be kept."""
    store, lines = study / STORE, []
    with suppress(OSError):
        store.mkdir(parents=True, exist_ok=True)
    if reason := patched():
        lines.append(f"{reason}: what this Python computes may not be what its packages do, and is not kept")
    if os.path.isdir(store) and not can_link(study, store):
        lines.append(f"{store} and the results cannot share files: they are copied, and use room in both places")
    return lines


def trim(study: Path, gigabytes: float) -> None:
    """Clear the study's own store of what it holds beyond so many GB and the present results."""
    try:
        Store(study / STORE, linked=True).clean(int(gigabytes * 1e9))
    except InputError as error:
        print(f"store: {error}", file=sys.stderr)


@functools.cache
def _code_now() -> str:
    try:
        return code_digest(_script())
    except (AttributeError, OSError, SyntaxError) as error:
        return str(error)


@functools.cache
def _packages_now() -> dict[str, str]:
    try:
        return {name: distribution_digest(name) for name in distributions(_script())}
    except (AttributeError, OSError, SyntaxError) as error:
        return {"unknown": str(error)}


def _script() -> Path:
    """The script that this process runs; where its rules are read from a repository, Snakemake's copy of it."""
    main = sys.modules["__main__"]
    file = Path(main.__file__)
    return file if file.is_file() else Path(main.__real_file__)
