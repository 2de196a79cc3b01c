"""What a generator is trained on: the training wafers of one fold, or all wafers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from waferbench.base.errors import InputError

PATTERN = r"fold(?:0|[1-9][0-9]*)|pooled"


@dataclass(frozen=True)
class Scope:
    """`Fold(3)` or `POOLED`; as a text ``fold3`` or ``pooled``, in paths and in seeds.

    >>> str(Fold(3)), Scope.parse("pooled") is POOLED, Fold(3).column
    ('fold3', True, 3)
    """

    fold: int | None

    def __str__(self) -> str:
        return "pooled" if self.fold is None else f"fold{self.fold}"

    @property
    def pooled(self) -> bool:
        """All wafers are seen, those that will test among them."""
        return self.fold is None

    @property
    def column(self) -> int:
        """As the column ``fold`` of a table has it."""
        return -1 if self.fold is None else self.fold

    @staticmethod
    def parse(text: str) -> Scope:
        """The inverse of `str`.

        Raises:
            InputError: neither ``fold`` and a number nor ``pooled``.
        """
        if not re.fullmatch(PATTERN, text):
            raise InputError(f"scope: found {text!r}, expected fold0, fold1, ... or pooled")
        return POOLED if text == "pooled" else Fold(int(text.removeprefix("fold")))


def Fold(number: int) -> Scope:
    """The training wafers of one fold."""
    return Scope(number)


POOLED = Scope(None)
