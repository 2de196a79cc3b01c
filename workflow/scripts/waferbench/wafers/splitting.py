"""Stratified splits: which wafers train, validate and test under a protocol."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.protocols import Protocol


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
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # a second, which `assign_split` saves

    labels = np.asarray(labels)
    for label in np.unique(labels):
        member = labels == label
        count = member.sum() if groups is None else len(np.unique(np.asarray(groups)[member]))
        if count < n_splits:
            what = "wafers" if groups is None else "groups of wafers"
            raise InputError(
                f"folds: class {str(label)!r} has {count} {what}, fewer than the {n_splits} folds of the protocol; "
                "add wafers, drop the class from dataset.classes, or take a protocol of fewer folds (cv3)"
            )
    if groups is None:
        parts = StratifiedKFold(n_splits, shuffle=True, random_state=seed).split(labels, labels)
    else:
        parts = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed).split(labels, labels, groups)
    fold = np.empty(len(labels), dtype=np.int64)
    for k, (_, test) in enumerate(parts):
        fold[test] = k
        without = np.setdiff1d(labels, labels[test])
        if len(without):
            raise InputError(
                f"folds: fold {k} has no wafer of class {str(without[0])!r}, as its groups are too few or too large to "
                "be spread; take another folds.seed, fewer folds, or a protocol of other groups"
            )
    return fold


def assign_split(labels: np.ndarray, test: float, val: float, rng: np.random.Generator) -> np.ndarray:
    """One random split of every class in the same shares, the rest training.

    Args:
        labels: (N,) class of each item.
        test, val: shares, 0 to below 1; each class gives at least one item to each where it has three or more.

    Returns:
        str (N,): train, val or test.
    """
    labels = np.asarray(labels)
    split = np.full(len(labels), "train", dtype="<U5")
    for label in np.unique(labels):
        items = rng.permutation(np.flatnonzero(labels == label))
        least = 1 if len(items) >= 3 else 0
        n_test, n_val = (max(least, round(share * len(items))) for share in (test, val))
        split[items[:n_test]] = "test"
        split[items[n_test : n_test + n_val]] = "val"
    return split


def split_table(
    wafer_ids: np.ndarray, labels: np.ndarray, protocol: Protocol, seed: int, groups: np.ndarray | None = None
) -> pd.DataFrame:
    """Rows (wafer_id, fold, split) of every wafer in every fold of a protocol.

    Cross-validation: fold k tests, fold k + 1 validates, the rest trains. Otherwise one split, fold 0.

    Raises:
        InputError: a class too small to be split.
    """
    if protocol.folds > 1:
        return fold_table(wafer_ids, assign_folds(labels, protocol.folds, seed, groups), protocol.folds)
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    if counts.min() < 3:
        raise InputError(
            f"folds: class {str(names[counts.argmin()])!r} has {counts.min()} wafers, {protocol.name} needs three: to "
            "train, validate and test; add wafers or drop the class from dataset.classes"
        )
    split = assign_split(labels, protocol.test, protocol.val, np.random.default_rng(seed))
    return pd.DataFrame({"wafer_id": wafer_ids, "fold": 0, "split": split})


def fold_table(wafer_ids: np.ndarray, test_fold: np.ndarray, n_splits: int) -> pd.DataFrame:
    """Rows (wafer_id, fold, split) of every wafer in every fold: test = k, validation = k + 1, else training."""
    parts = []
    for k in range(n_splits):
        split = np.where(test_fold == k, "test", np.where(test_fold == (k + 1) % n_splits, "val", "train"))
        parts.append(pd.DataFrame({"wafer_id": wafer_ids, "fold": k, "split": split}))
    return pd.concat(parts, ignore_index=True)
