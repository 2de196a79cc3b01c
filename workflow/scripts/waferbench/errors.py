"""The one error that a user is meant to read, and the hint that belongs to a misspelt name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class InputError(ValueError):
    """Bad input. The message names the file, row or key, what was found, what was expected, what to do."""


class WriteError(OSError, InputError):
    """An artifact could not be written: a full disk, missing rights."""


def nearest(name: Any, known: Iterable[Any]) -> str:
    """`` (did you mean 'gan'?)`` for the known name nearest to a misspelt one; empty where none is near."""
    names = {str(other).lower(): str(other) for other in known}
    matches = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    return f" (did you mean {names[matches[0]]!r}?)" if matches else ""
