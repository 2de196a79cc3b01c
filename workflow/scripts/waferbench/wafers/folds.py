"""The one place that says which wafers a stage may see."""

from __future__ import annotations

from typing import Any

import pandas as pd

from waferbench.base.artifacts import read_table

SPLITS = ("train", "val", "test")


def read_folds(inputs: Any) -> pd.DataFrame | None:
    """The fold table among a script's named inputs; None where the script sees all wafers and is given none."""
    path = inputs.get("folds")
    return read_table(path) if path else None


def wafers_of(selected: pd.DataFrame, folds: pd.DataFrame | None, scope: str, split: str = "train") -> pd.DataFrame:
    """The selected wafers of one split, in the order of the wafer table.

    Args:
        selected: the filtered wafer table (``wafer_id, row, label, ...``).
        folds: the fold table; None will do for ``pooled``.
        scope: ``fold3``, or ``pooled``: every selected wafer, which is what the paper's generators saw.
        split: train, val or test.
    """
    if scope == "pooled":
        return selected
    mine = folds[(folds["fold"] == int(scope.removeprefix("fold"))) & (folds["split"] == split)]
    return selected[selected["wafer_id"].isin(set(mine["wafer_id"]))]
