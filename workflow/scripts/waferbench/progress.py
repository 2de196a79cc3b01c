"""How far a loop has come."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


def progress(iterable: Iterable | None, description: str, total: int | None = None) -> tqdm:
    """A progress bar on stderr; a line every ten seconds where stderr is a log file."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    return tqdm(iterable, desc=description, total=total, mininterval=0.5 if terminal else 10, ascii=not terminal)
