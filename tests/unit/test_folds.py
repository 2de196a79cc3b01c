"""Folds: every wafer tests once, classes are kept in proportion, groups stay together."""

import numpy as np
import pandas as pd
import pytest

from waferbench.errors import InputError
from waferbench.folds import wafers_of
from waferbench.splitting import assign_folds, fold_table

LABELS = np.repeat(["center", "loc", "scratch"], [50, 30, 10])


def test_stratified_and_repeatable():
    fold = assign_folds(LABELS, 5, 42)
    for label, share in (("center", 10), ("loc", 6), ("scratch", 2)):
        assert np.bincount(fold[np.equal(LABELS, label)]).tolist() == [share] * 5
    np.testing.assert_array_equal(fold, assign_folds(LABELS, 5, 42))
    assert (fold != assign_folds(LABELS, 5, 43)).any()


def test_groups_stay_together():
    groups = np.arange(len(LABELS)) // 2
    fold = assign_folds(LABELS, 5, 42, groups)
    assert pd.Series(fold).groupby(groups).nunique().max() == 1
    assert set(fold) == set(range(5))


def test_published_split_sizes():
    counts = [4294, 555, 5189, 9680, 3593, 149, 866, 1193]
    labels = np.repeat(np.arange(8), counts)
    table = fold_table(np.arange(len(labels)), assign_folds(labels, 5, 42), 5)
    sizes = table.groupby(["fold", "split"]).size()
    assert sizes[0].to_dict() == {"train": 15311, "val": 5104, "test": 5104}


def test_too_few_wafers():
    with pytest.raises(InputError, match=r"class 'scratch' has 4 wafers, fewer than folds\.n_splits = 5"):
        assign_folds(np.repeat(np.array(["loc", "scratch"], object), [20, 4]), 5)
    labels = np.repeat(np.array(["loc", "scratch"], object), [20, 10])
    groups = np.concatenate([np.arange(20), np.full(10, 99)])
    with pytest.raises(InputError, match="class 'scratch' has 1 groups of wafers"):
        assign_folds(labels, 5, groups=groups)


def test_fold_table():
    ids = np.array([f"w{i}" for i in range(len(LABELS))])
    table = fold_table(ids, assign_folds(LABELS, 5, 42), 5)
    assert len(table) == 5 * len(ids)
    assert not table.duplicated(["wafer_id", "fold"]).any()
    assert (table[table["split"] == "test"]["wafer_id"].value_counts() == 1).all()
    assert (table[table["split"] == "val"]["wafer_id"].value_counts() == 1).all()
    for k in range(5):
        test = set(table[(table["fold"] == k) & (table["split"] == "test")]["wafer_id"])
        assert test == set(table[(table["fold"] == (k - 1) % 5) & (table["split"] == "val")]["wafer_id"])


def test_wafers_of():
    ids = np.array([f"w{i}" for i in range(len(LABELS))])
    selected = pd.DataFrame({"wafer_id": ids, "label": LABELS})
    table = fold_table(ids, assign_folds(LABELS, 5, 42), 5)
    train, test = wafers_of(selected, table, "fold2"), wafers_of(selected, table, "fold2", "test")
    assert (len(train), len(test)) == (54, 18)
    assert not set(train["wafer_id"]) & set(test["wafer_id"])
    assert len(wafers_of(selected, table, "pooled")) == len(ids)
