"""The one place that says which wafers a stage may see."""

from __future__ import annotations

import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.scope import Scope

SPLITS = ("train", "val", "test")


def wafers_of(selected: pd.DataFrame, folds: pd.DataFrame | None, scope: Scope, split: str = "train") -> pd.DataFrame:
    """The selected wafers of one split, in the order of the wafer table.

    Args:
        selected: the filtered wafer table (``wafer_id, row, label, ...``).
        folds: the fold table; None will do for `POOLED`.
        scope: `Fold(3)`, or `POOLED`: every selected wafer, which is what the paper's generators saw.
        split: train, val or test.
    """
    if scope.pooled:
        return selected
    if folds is None:
        raise InputError(f"{scope}: no fold table was given, expected the one of its protocol; rerun the study")
    mine = folds[(folds["fold"] == scope.fold) & (folds["split"] == split)]
    return selected[selected["wafer_id"].isin(set(mine["wafer_id"]))]
