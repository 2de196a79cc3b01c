"""The class probabilities in a table of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.errors import InputError


def labels_of(table: pd.DataFrame, labels: Mapping[str, Sequence[str]]) -> list[str]:
    """The labels (slugs) of the protocol that a cell's table belongs to.

    Raises:
        InputError: a protocol that is not one of ``labels``.
    """
    protocol = table["protocol"].iloc[0]
    if protocol not in labels:
        raise InputError(f"predictions: protocol {protocol!r} is not one of the study's ({', '.join(labels)}); rerun")
    return list(labels[protocol])


def probabilities(table: pd.DataFrame, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Softmax probabilities and true classes of a table by `waferbench.predictions.prediction_table`.

    Args:
        labels: slugs of the classes, in the order of the columns p_0, p_1, ...

    Returns:
        float64 (N, K), and int64 (N,), positions in ``labels``.

    Raises:
        InputError: other classes than these, or none of the columns.
    """
    columns = [name for name in table.columns if name.startswith("p_")]
    wanted = [f"p_{i}" for i in range(len(labels))]
    cell = "/".join(str(table[name].iloc[0]) for name in ("protocol", "seed", "fold", "backbone", "condition"))
    if columns != wanted:
        raise InputError(
            f"predictions of {cell}: probabilities {', '.join(columns) or 'none'}, expected p_0 to {wanted[-1]} "
            f"for the classes {', '.join(labels)}; delete and rerun"
        )
    y = pd.Index(labels).get_indexer(table["y_true"])
    if (y < 0).any():
        strange = table["y_true"].to_numpy()[y < 0][0]
        raise InputError(f"predictions of {cell}: label {strange!r} is not one of {', '.join(labels)}; rerun")
    return table[wanted].to_numpy(np.float64), y.astype(np.int64)
