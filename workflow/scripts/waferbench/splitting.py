"""Stratified folds: which wafers train, validate and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from waferbench.errors import InputError


def assign_folds(labels: np.ndarray, n_splits: int = 5, seed: int = 42, groups: np.ndarray | None = None) -> np.ndarray:
    """Test fold of every wafer, stratified by label; wafers of one group share a fold.

    Args:
        labels: (N,) class of each wafer.
        groups: (N,) group of each wafer, or None.

    Returns:
        int (N,), 0 to n_splits - 1.

    Raises:
        InputError: a class has fewer wafers (or groups) than folds.
    """
    labels = np.asarray(labels)
    for label in np.unique(labels):
        member = labels == label
        count = member.sum() if groups is None else len(np.unique(np.asarray(groups)[member]))
        if count < n_splits:
            what = "wafers" if groups is None else "groups of wafers"
            raise InputError(
                f"folds: class {str(label)!r} has {count} {what}, fewer than folds.n_splits = {n_splits}; "
                "add wafers, drop the class from dataset.classes, or lower folds.n_splits"
            )
    if groups is None:
        parts = StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(labels, labels)
    else:
        parts = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed).split(labels, labels, groups)
    fold = np.empty(len(labels), dtype=np.int64)
    for k, (_, test) in enumerate(parts):
        fold[test] = k
    return fold


def fold_table(wafer_ids: np.ndarray, test_fold: np.ndarray, n_splits: int) -> pd.DataFrame:
    """Rows (wafer_id, fold, split) of every wafer in every fold: test = k, validation = k + 1, else training."""
    parts = []
    for k in range(n_splits):
        split = np.where(test_fold == k, "test", np.where(test_fold == (k + 1) % n_splits, "val", "train"))
        parts.append(pd.DataFrame({"wafer_id": wafer_ids, "fold": k, "split": split}))
    return pd.concat(parts, ignore_index=True)
