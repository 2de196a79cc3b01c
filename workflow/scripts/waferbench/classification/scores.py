"""The scores that follow from the cells' predictions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from waferbench.base.errors import InputError
from waferbench.base.tables import BOOK, CELL, COUNTS, PREDICTIONS, TABLES


def macro_f1(y: np.ndarray, called: np.ndarray, classes: int) -> float:
    """Mean over all classes of 2 TP / (2 TP + FP + FN), 0 for one that is neither there nor called.

    y, called: int (N,), positions below ``classes``.
    """
    right = np.bincount(y[y == called], minlength=classes)
    both = np.bincount(y, minlength=classes) + np.bincount(called, minlength=classes)
    return float((2 * right / np.maximum(both, 1)).mean())


def collect(
    cells: Iterable[pd.DataFrame], labels: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """All predictions, a row of scores per cell, a row per cell and class.

    Macro-F1 is the plain mean of F1 over the protocol's classes, one that is neither present nor predicted counting 0.
    ``code_spread`` is its standard deviation over the code books of an SVM that has several, each asked by itself; 0
    elsewhere.

    Args:
        cells: tables by `waferbench.classification.predictions.prediction_table`.
        labels: protocol -> slugs of its classes.

    Returns:
        The tables predictions, scores and per_class of `waferbench.base.tables.TABLES`. Fractions are 0-1.

    Raises:
        InputError: a wafer predicted twice by one cell and head, or an unknown label.
    """
    cells = list(cells)
    everything = pd.concat([frame[[*PREDICTIONS, *COUNTS]] for frame in cells], ignore_index=True)
    for protocol, part in everything.groupby("protocol"):
        known = labels[protocol]
        strange = sorted((set(part["y_true"]) | set(part["y_pred"])) - set(known))
        if strange:
            raise InputError(
                f"predictions: label {strange[0]!r} is not one of dataset.classes ({', '.join(known)}); rerun"
            )
    twice = everything.duplicated([*CELL, "wafer_id"])
    if twice.any():
        row = everything[twice].iloc[0]
        cell = dict(row[list(CELL)])
        raise InputError(f"predictions: wafer {row['wafer_id']!r} stands twice in {cell}; delete and rerun")
    scores, per_class, spreads = [], [], _code_spreads(cells, labels)
    for key, group in everything.groupby(list(CELL), sort=True):
        cell = dict(zip(CELL, key, strict=True))
        true, predicted, known = group["y_true"], group["y_pred"], list(labels[cell["protocol"]])
        scores.append(
            {
                **cell,
                "macro_f1": f1_score(true, predicted, labels=known, average="macro", zero_division=0),
                "accuracy": accuracy_score(true, predicted),
                **{name: int(group[name].iloc[0]) for name in COUNTS},
                "n_test": len(group),
                "code_spread": spreads.get(key, 0.0),
            }
        )
        columns = precision_recall_fscore_support(true, predicted, labels=known, zero_division=0)
        for label, precision, recall, f1, support in zip(known, *columns, strict=True):
            per_class.append(
                {**cell, "label": label, "precision": precision, "recall": recall, "f1": f1, "support": int(support)}
            )
    predictions = everything.sort_values([*CELL, "wafer_id"], ignore_index=True)[list(PREDICTIONS)]
    return (
        predictions,
        pd.DataFrame(scores, columns=TABLES["scores"]),
        pd.DataFrame(per_class, columns=TABLES["per_class"]),
    )


def _code_spreads(cells: Iterable[pd.DataFrame], labels: Mapping[str, Sequence[str]]) -> dict[tuple, float]:
    """By cell and head, the deviation of macro-F1 over what several code books would call."""
    spreads = {}
    for frame in cells:
        books = [name for name in frame if name.startswith(BOOK)]
        if books and len(frame):
            names = pd.Index(labels[frame["protocol"].iloc[0]])
            y = names.get_indexer(frame["y_true"])
            values = [macro_f1(y, names.get_indexer(frame[name]), len(names)) for name in books]
            spreads[tuple(frame[list(CELL)].iloc[0])] = float(np.std(values, ddof=1))
    return spreads
