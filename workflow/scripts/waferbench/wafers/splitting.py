"""Which wafers train, validate and test under a protocol, which are withheld for the oracle, and which are spare."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.protocols import Protocol
from waferbench.base.seeds import derive_seed
from waferbench.wafers.folds import RESERVE, SPARE, SPLITS, capped


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


def sets_of(replicate: int) -> tuple[str, str, str]:
    """The sets of simulated wafers that train, validate and test in a replicate.

    >>> sets_of(2)
    ('train2', 'val2', 'test2')
    """
    return f"train{replicate}", f"val{replicate}", f"test{replicate}"


def replicate_table(wafer_ids: np.ndarray, drawn_for: np.ndarray, protocol: Protocol) -> pd.DataFrame:
    """Rows (wafer_id, fold, split) of the wafers of each replicate, fold r.

    Args:
        drawn_for: str (N,), the set that each wafer was simulated for.

    Raises:
        InputError: a set has no wafer: these were simulated for another protocol.
    """
    parts = []
    for replicate in range(protocol.replicates):
        for split, name in zip(SPLITS, sets_of(replicate), strict=True):
            ids = wafer_ids[drawn_for == name]
            if not len(ids):
                raise InputError(
                    f"folds.protocols: no wafer was simulated for {name!r} of {protocol.name}; run the study again, "
                    "which simulates them"
                )
            parts.append(pd.DataFrame({"wafer_id": ids, "fold": replicate, "split": split}))
    return pd.concat(parts, ignore_index=True)


def with_reserve(
    table: pd.DataFrame, selected: pd.DataFrame, share: float, seed: int, labels: Collection[str] | None = None
) -> pd.DataFrame:
    """The fold table with a share of each class's training wafers in the split ``reserve``, for the oracle alone.

    Copies and mirror images of a wafer go to one side, and a wafer with such a twin in the validation or test split, or
    in a class that nothing is reserved of, is never reserved: so a class may get a little less than its share. Wafers
    of one lot may be on both sides, as the oracle trains on both; a protocol that keeps lots together keeps them from
    test wafers.

    Args:
        table: ``wafer_id, fold, split``.
        selected: the wafer table, ``wafer_id, label, canonical``.
        share: 0 (none) to below 1.
        seed: of the folds: studies that differ in all else reserve the same wafers.
        labels: the classes that the oracle draws of; None = all. Of others nothing is reserved.

    Raises:
        InputError: a class is left with fewer than two training wafers, or gets no reserve.
    """
    if not share:
        return table
    known = selected.set_index("wafer_id").loc[table["wafer_id"]]
    table = table.assign(label=known["label"].to_numpy(), group=known["canonical"].to_numpy())
    parts = []
    for fold, part in table.groupby("fold", sort=True):
        train = (part["split"] == "train") & (True if labels is None else part["label"].isin(labels))
        eligible = part[train & ~part["group"].isin(set(part.loc[~train, "group"]))]
        most = {name: round(share * count) for name, count in part.loc[train, "label"].value_counts().items()}
        reserved = part.index.isin(
            _whole_groups(eligible, most, np.random.default_rng(derive_seed(seed, RESERVE, fold)))
        )
        for name, mine in part[train].assign(reserved=reserved[train]).groupby("label")["reserved"]:
            withheld, kept = int(mine.sum()), int((~mine).sum())
            if kept < 2 or not withheld:
                raise InputError(
                    f"oracle.reserve: {share:g} of the training wafers of class {str(name)!r} in fold {fold} leaves "
                    f"{kept} and reserves {withheld}, expected at least 2 and 1; set another share, add wafers of the "
                    "class, drop it from dataset.classes, or leave the oracle out of conditions"
                )
        parts.append(part.assign(split=part["split"].mask(reserved, RESERVE)))
    return pd.concat(parts, ignore_index=True).drop(columns=["label", "group"])


def with_spare(table: pd.DataFrame, selected: pd.DataFrame, most: int) -> pd.DataFrame:
    """The fold table with the training wafers of a class beyond so many in the split ``spare``, which nothing reads.

    All that learns from a fold so learns from the same wafers: generators, filters, classifiers and the judge.

    Args:
        table: ``wafer_id, fold, split``, what is reserved taken out of training before.
        selected: the wafer table, ``wafer_id, label, sha256``.
        most: training wafers of a class that stay, the first by hash; 0 = all.
    """
    if not most:
        return table
    parts = []
    for _, part in table.groupby("fold", sort=True):
        train = part["split"] == "train"
        known = selected[selected["wafer_id"].isin(set(part.loc[train, "wafer_id"]))]
        stays = part["wafer_id"].isin(set(capped(known, most)["wafer_id"]))
        parts.append(part.assign(split=part["split"].mask(train & ~stays, SPARE)))
    return pd.concat(parts, ignore_index=True)


def _whole_groups(wafers: pd.DataFrame, most: Mapping[str, int], rng: np.random.Generator) -> list[int]:
    """The index of groups of wafers in random order, but for those that would give a class more than its most."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for group, index, label in sorted(zip(wafers["group"], wafers.index, wafers["label"], strict=True)):
        groups.setdefault(group, []).append((index, label))
    members = list(groups.values())
    left, taken = dict(most), []
    for at in rng.permutation(len(members)):
        wanted = Counter(label for _, label in members[at])
        if all(left[label] >= count for label, count in wanted.items()):
            taken += [index for index, _ in members[at]]
            for label, count in wanted.items():
                left[label] -= count
    return taken
