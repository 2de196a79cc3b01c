"""The one error that a user is meant to read, and what makes any failure of a parser one."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LONGEST = 4000  # characters of a message
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # reverse the text around them
HIDDEN = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of a character, two kinds of line end


class InputError(ValueError):
    """Bad input. The message names the file, row or key, what was found, what was expected, what to do.

    What it quotes may come from a hostile file: it is cut to `LONGEST`, and no control character reaches a terminal.
    """

    def __init__(self, message: object = ""):
        text = str(message)
        text = text if len(text) <= LONGEST else text[:LONGEST] + " ..."
        super().__init__("".join(ascii(c)[1:-1] if _odd(c) else c for c in text))


class WriteError(OSError, InputError):
    """An artifact could not be written: a full disk, missing rights."""


def nearest(name: Any, known: Iterable[Any]) -> str:
    """`` (did you mean 'gan'?)`` for the known name nearest to a misspelt one; empty where none is near."""
    names = {str(other).lower(): str(other) for other in known}
    matches = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    return f" (did you mean {names[matches[0]]!r}?)" if matches else ""


def require_plain(text: str, where: str, most: int) -> None:
    """`InputError` for a text of more than ``most`` characters, or with one that no name needs: a control
    character, half a character, or one that turns the direction of the text around it."""
    if len(text) > most:
        raise InputError(
            f"{where}: found {text[:40]!r}..., {len(text)} characters, expected at most {most}; shorten it"
        )
    odd = "" if text.isprintable() else next((c for c in text if _odd(c)), "")
    if odd:
        raise InputError(f"{where}: found {text!r} with the character U+{ord(odd):04X}, expected plain text; remove it")


@contextmanager
def readable(path: str | Path, what: str, remedy: str) -> Iterator[None]:
    """Whatever a parser raises at a file that is cut short, damaged or forged, as one `InputError`.

    For the edge of a reader, around the parser alone: parsers fail in as many types as there are ways to damage a file.

    Args:
        what: the kind of file that was expected.
        remedy: what to do.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        said = "it asks for more memory than there is" if isinstance(error, MemoryError) else str(error).strip()
        if not said or isinstance(error, (LookupError, AttributeError, TypeError, RuntimeError)):
            said = f"{type(error).__name__}: {said}"  # their texts alone say little
        raise InputError(f"{path}: not a readable {what} ({said}); {remedy}") from error


def _odd(character: str) -> bool:
    return character in TURNING or (unicodedata.category(character) in HIDDEN and character not in "\n\t")
