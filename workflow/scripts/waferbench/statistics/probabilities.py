"""The class probabilities in a table of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.base import tables
from waferbench.base.errors import InputError
from waferbench.base.tables import GRID_CELL


def same_cell(validation: pd.DataFrame, test: pd.DataFrame) -> dict[str, str | int]:
    """The cell, `waferbench.base.tables.GRID_CELL`, that two tables of predictions share.

    Raises:
        InputError: they belong to different cells, or have no wafer.
    """
    cells = [dict(table[list(GRID_CELL)].iloc[0]) if len(table) else None for table in (validation, test)]
    if cells[0] != cells[1] or cells[0] is None:
        raise InputError(f"predictions: validation wafers of cell {cells[0]}, test wafers of {cells[1]}; rerun")
    return cells[0]


def labels_for(table: pd.DataFrame, labels: Mapping[str, Sequence[str]]) -> list[str]:
    """The labels (slugs) of the protocol that a cell's table belongs to.

    Raises:
        InputError: a protocol that is not one of ``labels``.
    """
    protocol = table["protocol"].iloc[0]
    if protocol not in labels:
        raise InputError(f"predictions: protocol {protocol!r} is not one of the study's ({', '.join(labels)}); rerun")
    return list(labels[protocol])


def softmax_of(table: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Softmax probabilities and true classes of a table by `waferbench.classification.predictions.prediction_table`.

    Args:
        labels: slugs of the classes.

    Returns:
        float64 (N, K), in the order of ``labels``, and int64 (N,), positions in them.

    Raises:
        InputError: other classes than these, none of the columns, or probabilities that are not finite.
    """
    columns = [name for name in table.columns if name.startswith("p_")]
    wanted = tables.probabilities(labels)
    cell = "/".join(str(table[name].iloc[0]) for name in GRID_CELL)
    if set(columns) != set(wanted):
        found = ", ".join(columns) or "none"
        raise InputError(
            f"predictions of {cell}: probabilities {found}, expected {wanted[0]} to {wanted[-1]} for the classes "
            f"{', '.join(labels)}; delete and rerun"
        )
    y = pd.Index(labels).get_indexer(table["y_true"])
    if (y < 0).any():
        strange = table["y_true"].to_numpy()[y < 0][0]
        raise InputError(f"predictions of {cell}: label {strange!r} is not one of {', '.join(labels)}; rerun")
    p = table[wanted].to_numpy(np.float64)
    bad = int((~np.isfinite(p)).any(1).sum())
    if bad:
        raise InputError(
            f"predictions of {cell}: probabilities of {bad} of {len(p)} wafers are not finite, expected 0 to 1: the "
            "training has diverged; lower classifier.lr and rerun"
        )
    return p, y.astype(np.int64)
