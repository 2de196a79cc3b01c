"""What a judge says of samples' classes, and of held-out real wafers as the floor: rows of the table `agreement`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.tables import probability


def verdicts(scores: pd.DataFrame, chances: Mapping[str, np.ndarray], labels: Sequence[str]) -> pd.DataFrame:
    """The judge's class of each sample of a source.

    Args:
        scores: those of the shape filter, ``label, index, in_pool``.
        chances: label -> the judge's probabilities of that class's samples, float (N, K), in their order.
        labels: slugs of the K classes.

    Returns:
        ``label, index, in_pool, y_judge, p_intended`` of each sample.

    Raises:
        InputError: not as many samples as scores of a class.
    """
    parts = []
    for label, p in chances.items():
        called = np.asarray(labels, dtype=object)[p.argmax(1)]
        intended = p[:, list(labels).index(label)]
        parts.append(pd.DataFrame({"label": label, "index": range(len(p)), "y_judge": called, "p_intended": intended}))
        scored = int((scores["label"] == label).sum())
        if scored != len(p):
            raise InputError(
                f"samples of class {label!r}: found {len(p)} images and {scored} shape scores, expected as many "
                "of both; delete the scores and rerun the study"
            )
    return scores[["label", "index", "in_pool"]].merge(pd.concat(parts), how="inner")


def of_predictions(predictions: pd.DataFrame) -> pd.DataFrame:
    """The judge's own predictions of the fold's test wafers, as rows like those of samples, all of them in the pool.

    Args:
        predictions: of the judge's cell, ``y_true, y_pred`` and the probability of each class.

    Returns:
        As `verdicts`; index: a running number.
    """
    table = predictions.reset_index(drop=True)
    intended = [row[probability(row["y_true"])] for _, row in table.iterrows()]
    return pd.DataFrame(
        {
            **{"label": table["y_true"], "index": np.arange(len(table)), "in_pool": True},
            **{"y_judge": table["y_pred"], "p_intended": np.asarray(intended, dtype=np.float32)},
        }
    )
