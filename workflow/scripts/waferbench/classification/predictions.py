"""The predictions of one cell of the grid, one row per test wafer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

CELL = ["protocol", "seed", "fold", "backbone", "condition", "head"]
COUNTS = ["n_train_real", "n_train_synthetic", "n_train_repeated"]
PREDICTIONS = ["protocol", "seed", "wafer_id", "fold", "backbone", "condition", "head", "y_true", "y_pred"]


def prediction_table(
    cell: dict[str, str | int],
    head: str,
    wafer_ids: np.ndarray,
    y_true: np.ndarray,
    y_pred: np.ndarray,
    labels: Sequence[str],
    probabilities: np.ndarray | None = None,
) -> pd.DataFrame:
    """One row per test wafer of one cell.

    Args:
        cell: protocol, seed, fold, backbone, condition, n_train_real, n_train_synthetic, n_train_repeated.
        head: ``softmax`` or ``ecoc_svm``.
        wafer_ids: (N,) str.
        y_true, y_pred: int (N,), positions in ``labels``.
        labels: slugs of the classes.
        probabilities: float (N, K); columns ``p_<i>``, i the position in ``labels``.
    """
    names = np.asarray(labels, dtype=object)
    frame = pd.DataFrame({"wafer_id": wafer_ids, "y_true": names[y_true], "y_pred": names[y_pred], "head": head})
    frame = frame.assign(**{name: cell[name] for name in [*CELL[:-1], *COUNTS]})[PREDICTIONS + COUNTS]
    if probabilities is not None:
        extra = pd.DataFrame(probabilities, columns=[f"p_{i}" for i in range(len(labels))])
        frame = pd.concat([frame, extra], axis=1)
    return frame
