"""Numbers and lists as people write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd


def known(value: Any) -> bool:
    """A finite number."""
    return value is not None and not pd.isna(value) and bool(np.isfinite(float(value)))


def points(value: float) -> str:
    """A difference of fractions in signed points, with a true minus sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def reach(low: Any, high: Any, form: str = ".2f") -> str:
    """``−0.1 to +1.7``, an interval; empty where there is none, or where both ends read alike and so say nothing.

    Args:
        form: of one end, or ``points``.
    """
    if not known(low) or not known(high):
        return ""
    ends = [points(v) if form == "points" else format(float(v), form).replace("-", "−") for v in (low, high)]
    return "" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def score(mean: float, std: float | None = None) -> str:
    """0.9459 ± 0.0074."""
    return f"{mean:.4f} ± {std:.4f}" if known(std) else f"{mean:.4f}"


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds, 1)
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
