"""The one place that says which wafers a stage may see."""

from __future__ import annotations

import pandas as pd

SPLITS = ("train", "val", "test")


def wafers_of(selected: pd.DataFrame, folds: pd.DataFrame, scope: str, split: str = "train") -> pd.DataFrame:
    """The selected wafers of one split, in the order of the wafer table.

    Args:
        selected: the filtered wafer table (``wafer_id, row, label, ...``).
        folds: the fold table.
        scope: ``fold3``, or ``pooled``: every selected wafer, which is what the paper's generators saw.
        split: train, val or test.
    """
    if scope == "pooled":
        return selected
    mine = folds[(folds["fold"] == int(scope.removeprefix("fold"))) & (folds["split"] == split)]
    return selected[selected["wafer_id"].isin(set(mine["wafer_id"]))]
