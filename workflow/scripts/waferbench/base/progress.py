"""How far a loop has come."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


def progress(iterable: Iterable | None, description: str, total: int | None = None) -> tqdm:
    """A progress bar on stderr, of what takes longer than a second; a line every ten seconds where stderr is a log."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    pace = {"mininterval": 0.5} if terminal else {"mininterval": 10, "ascii": True}
    return tqdm(iterable, desc=description, total=total, delay=1, position=0, **pace)
