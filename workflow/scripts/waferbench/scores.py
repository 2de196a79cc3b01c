"""Predictions of the cells, and the scores that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from waferbench.errors import InputError

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


def collect(cells: Iterable[pd.DataFrame], labels: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """All predictions, a row of scores per cell, a row per cell and class.

    Macro-F1 is the plain mean of F1 over ``labels``, a class that is neither present nor predicted counting 0.

    Args:
        cells: tables by `prediction_table`.
        labels: slugs of the classes.

    Returns:
        predictions (protocol, seed, wafer_id, fold, backbone, condition, head, y_true, y_pred); scores (cell columns,
        macro_f1, accuracy, n_train_real, n_train_synthetic, n_train_repeated, n_test); per_class (cell columns,
        label, precision, recall, f1, support). Fractions are 0-1.

    Raises:
        InputError: a wafer predicted twice by one cell and head, or an unknown label.
    """
    everything = pd.concat([frame[PREDICTIONS + COUNTS] for frame in cells], ignore_index=True)
    strange = sorted((set(everything["y_true"]) | set(everything["y_pred"])) - set(labels))
    if strange:
        raise InputError(
            f"predictions: label {strange[0]!r} is not one of dataset.classes ({', '.join(labels)}); rerun"
        )
    twice = everything.duplicated([*CELL, "wafer_id"])
    if twice.any():
        row = everything[twice].iloc[0]
        raise InputError(f"predictions: wafer {row['wafer_id']!r} stands twice in {dict(row[CELL])}; delete and rerun")
    scores, per_class = [], []
    for key, group in everything.groupby(CELL, sort=True):
        cell = dict(zip(CELL, key, strict=True))
        true, predicted = group["y_true"], group["y_pred"]
        scores.append(
            {
                **cell,
                "macro_f1": f1_score(true, predicted, labels=list(labels), average="macro", zero_division=0),
                "accuracy": accuracy_score(true, predicted),
                **{name: int(group[name].iloc[0]) for name in COUNTS},
                "n_test": len(group),
            }
        )
        columns = precision_recall_fscore_support(true, predicted, labels=list(labels), zero_division=0)
        for label, precision, recall, f1, support in zip(labels, *columns, strict=True):
            per_class.append(
                {**cell, "label": label, "precision": precision, "recall": recall, "f1": f1, "support": int(support)}
            )
    order = [*CELL, "wafer_id"]
    predictions = everything.sort_values(order, ignore_index=True)[PREDICTIONS]
    return predictions, pd.DataFrame(scores), pd.DataFrame(per_class)
