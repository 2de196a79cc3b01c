"""Tables as rows of cells, which the kit's macro `draw` makes visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from waferbench.report.kit.words import known, points, reach


@dataclass(frozen=True)
class Cell:
    """text: as shown. value: sort key (the text by default). note: small print. tone: good, bad, best, muted, name.

    heat: 0-1, the depth of the background, or None. title: on hover.
    """

    text: str
    value: float | str | None = None
    note: str = ""
    tone: str = ""
    heat: float | None = None
    title: str = ""

    @property
    def key(self) -> float | str:
        """What the column is sorted by."""
        return self.text if self.value is None else self.value


@dataclass(frozen=True)
class Table:
    """head: column titles. groups: (title, span) above them. kind: plain, heat (cells shaded by their heat), bars (by a
    bar as long as that) or confusion (square, not sorted). totals: rows below all others, which no sorting moves.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    groups: Sequence[tuple[str, int]] = ()
    kind: str = "plain"
    totals: Sequence[Sequence[Cell]] = field(default_factory=list)


BLANK = Cell("–", value="", tone="muted")


def name(text: str, note: str = "") -> Cell:
    """A row's name."""
    return Cell(str(text), note=note, tone="name")


def number(value: float | None, form: str = ".3f", note: str = "", tone: str = "", **more: object) -> Cell:
    """A number, or a dash where there is none."""
    if not known(value):
        return BLANK
    text = format(float(value), form).replace("-", "−") if isinstance(value, (int, float, np.number)) else str(value)
    return Cell(text, float(value), note, tone, **more)


def gap(difference: float | None, low: float | None, high: float | None, note: str = "") -> Cell:
    """A difference of fractions in points, its interval below; good or bad where the interval leaves zero out."""
    if not known(difference):
        return BLANK
    tone = ""
    if interval := reach(low, high, "points"):
        tone = "good" if low > 0 else "bad" if high < 0 else ""
        note = f"{interval}; {note}" if note else interval
    return Cell(points(difference), float(difference), note, tone)


def spread(std: float | None, interval: tuple[float, float] | None = None, unit: str = "fold") -> str:
    """What stands below a mean over folds: its deviation; of one fold the interval over test wafers, where known."""
    if known(std):
        return f"± {std:.4f}"
    return (reach(*interval, ".3f") if interval else "") or f"one {unit}"
