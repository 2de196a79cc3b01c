"""The predictions of one cell of the grid, one row per test wafer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.base import tables
from waferbench.base.tables import BOOK, COUNTS, GRID_CELL, PREDICTIONS


def prediction_table(
    cell: Mapping[str, str | int],
    head: str,
    wafer_ids: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    labels: Sequence[str],
    probabilities: np.ndarray | None = None,
    by_book: np.ndarray | None = None,
) -> pd.DataFrame:
    """One row per test (or validation) wafer of one cell.

    Args:
        cell: what identifies it, `waferbench.base.tables.GRID_CELL`, and what it was trained on, `COUNTS` there.
        head: ``softmax`` or ``ecoc_svm``.
        wafer_ids: (N,) str.
        y_true, y_pred: int (N,), positions in ``labels``.
        labels: slugs of the classes.
        probabilities: float (N, K).
        by_book: int (B, N), what each of several code books would call.

    Returns:
        Columns `waferbench.base.tables.PREDICTIONS`, `COUNTS` and, with probabilities, ``p_<label>`` of each class;
        with code books, ``y_book_<number>`` of each.
    """
    names = np.asarray(labels, dtype=object)
    frame = pd.DataFrame({"wafer_id": wafer_ids, "y_true": names[y_true], "y_pred": names[y_pred], "head": head})
    frame = frame.assign(**{name: cell[name] for name in (*GRID_CELL, *COUNTS)})[[*PREDICTIONS, *COUNTS]]
    if probabilities is not None:
        extra = pd.DataFrame(probabilities, columns=tables.probabilities(labels))
        frame = pd.concat([frame, extra], axis=1)
    if by_book is not None:
        frame = frame.assign(**{f"{BOOK}{number}": names[called] for number, called in enumerate(by_book)})
    return frame
