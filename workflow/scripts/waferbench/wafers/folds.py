"""The one place that says which wafers a stage may see."""

from __future__ import annotations

import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.scope import Scope

SPLITS = ("train", "val", "test")
RESERVE = "reserve"  # training wafers that the oracle alone may read
SPARE = "spare"  # training wafers beyond the most of a class: nothing reads them


def wafers_of(selected: pd.DataFrame, folds: pd.DataFrame | None, scope: Scope, split: str = "train") -> pd.DataFrame:
    """The selected wafers of one split, in the order of the wafer table.

    Args:
        selected: the filtered wafer table (``wafer_id, row, label, ...``).
        folds: the fold table; None will do for `POOLED`.
        scope: `Fold(3)`, or `POOLED`: every selected wafer, which is what the paper's generators saw.
        split: train, val or test; or reserve, the wafers withheld for the oracle, where the study has one. Spare
            wafers are given to nobody.
    """
    if split not in (*SPLITS, RESERVE):
        raise InputError(f"{scope}: found the split {split!r}, expected one of {', '.join(SPLITS)} or {RESERVE}")
    if scope.pooled and split == RESERVE:
        raise InputError(f"{scope}: no wafer is withheld where generators see all; set generators.train_on to fold")
    if scope.pooled:
        return selected
    if folds is None:
        raise InputError(f"{scope}: no fold table was given, expected the one of its protocol; rerun the study")
    mine = folds[(folds["fold"] == scope.fold) & (folds["split"] == split)]
    return selected[selected["wafer_id"].isin(set(mine["wafer_id"]))]


def capped(wafers: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most so many wafers of each class, the first by content hash: the same on every machine.

    Args:
        wafers: rows of the wafer table (``wafer_id, label, sha256, ...``).
        most: 0 = all.

    Returns:
        Rows of ``wafers``, in their order.
    """
    if not most:
        return wafers
    ranked = wafers.sort_values(["sha256", "wafer_id"])
    return wafers[wafers.index.isin(ranked.groupby("label", sort=False).head(most).index)]
