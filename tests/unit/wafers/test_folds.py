"""Folds: every wafer tests once, classes are kept in proportion, groups stay together."""

import numpy as np
import pandas as pd
import pytest

from waferbench.base.errors import InputError
from waferbench.base.protocols import KNOWN, protocol
from waferbench.base.scope import POOLED, Fold
from waferbench.base.tables import RUN, TABLES
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.splitting import assign_folds, assign_split, fold_table, split_table

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


def test_a_fold_without_a_class_is_named():
    """Eight lots: enough of them hold a scratch, yet no way of sharing them out evenly gives each fold one."""
    sizes = {"loc": [37, 16, 34, 28, 31, 47, 1, 21], "scratch": [2, 0, 3, 3, 1, 0, 0, 1]}
    labels = np.repeat(np.array(list(sizes), object), [sum(counts) for counts in sizes.values()])
    lots = np.concatenate([np.repeat(np.arange(8), counts) for counts in sizes.values()])
    with pytest.raises(InputError, match=r"fold \d has no wafer of class 'scratch'.*another folds\.seed"):
        assign_folds(labels, 5, 42, lots)


def test_published_split_sizes():
    counts = [4294, 555, 5189, 9680, 3593, 149, 866, 1193]
    labels = np.repeat(np.arange(8), counts)
    table = fold_table(np.arange(len(labels)), assign_folds(labels, 5, 42), 5)
    sizes = table.groupby(["fold", "split"]).size()
    assert sizes[0].to_dict() == {"train": 15311, "val": 5104, "test": 5104}


def test_too_few_wafers():
    with pytest.raises(InputError, match=r"class 'scratch' has 4 wafers, fewer than the 5 folds of the protocol"):
        assign_folds(np.repeat(np.array(["loc", "scratch"], object), [20, 4]), 5)
    labels = np.repeat(np.array(["loc", "scratch"], object), [20, 10])
    groups = np.concatenate([np.arange(20), np.full(10, 99)])
    with pytest.raises(InputError, match="class 'scratch' has 1 groups of wafers"):
        assign_folds(labels, 5, groups=groups)


def test_fold_table():
    ids = np.array([f"w{i}" for i in range(len(LABELS))])
    table = fold_table(ids, assign_folds(LABELS, 5, 42), 5)
    assert tuple(table.columns) == TABLES["folds"][len(RUN) :]
    assert len(table) == 5 * len(ids)
    assert not table.duplicated(["wafer_id", "fold"]).any()
    assert (table[table["split"] == "test"]["wafer_id"].value_counts() == 1).all()
    assert (table[table["split"] == "val"]["wafer_id"].value_counts() == 1).all()
    for k in range(5):
        test = set(table[(table["fold"] == k) & (table["split"] == "test")]["wafer_id"])
        assert test == set(table[(table["fold"] == (k - 1) % 5) & (table["split"] == "val")]["wafer_id"])


@pytest.mark.parametrize(
    ("name", "shares"),
    [("holdout_80_10_10", (0.8, 0.1, 0.1)), ("nine_class_70_30", (0.6, 0.1, 0.3)), ("leaky_80_20", (0.7, 0.1, 0.2))],
)
def test_single_splits_keep_the_shares_of_every_class(name, shares):
    labels = np.repeat(["center", "loc", "near-full"], [1000, 300, 100])
    table = split_table(np.arange(1400), labels, protocol(name), 42).assign(label=labels)
    assert set(table["fold"]) == {0} and not table["wafer_id"].duplicated().any()
    for label, count in (("center", 1000), ("loc", 300), ("near-full", 100)):
        sizes = table[table["label"] == label]["split"].value_counts()
        assert [sizes[split] for split in ("train", "val", "test")] == [round(share * count) for share in shares]
    assert table.equals(split_table(np.arange(1400), labels, protocol(name), 42).assign(label=labels))


def test_a_small_class_reaches_every_split_or_is_named():
    labels = np.repeat(["center", "rare"], [50, 3])
    split = assign_split(labels, 0.1, 0.1, np.random.default_rng(0))
    assert set(split[labels == "rare"]) == {"train", "val", "test"}
    with pytest.raises(InputError, match="class 'rare' has 2 wafers, holdout_80_10_10 needs three"):
        split_table(np.arange(52), labels[:52], protocol("holdout_80_10_10"), 42)


def test_protocols_by_name():
    assert [protocol(name).name for name in KNOWN] == list(KNOWN)
    assert protocol("lot_cv10").folds == 10 and protocol("lot_cv10").group == "lots"
    assert protocol("duplicate_cv5").group == "duplicates" and protocol("cv5").group == "none"
    assert [name for name in KNOWN if protocol(name).leaky] == ["leaky_80_20"]
    assert protocol("nine_class_70_30").classes(["Loc"]) == ["Loc", "none"] and protocol("cv5").classes(["a"]) == ["a"]
    assert protocol("cv5").run([1, 2]) == [1, 2] and protocol("leaky_80_20").run([1, 2]) == [0]
    with pytest.raises(InputError, match="did you mean 'holdout_80_10_10'"):
        protocol("holdout_80_10")
    with pytest.raises(InputError, match="at least 3"):
        protocol("cv2")


def test_wafers_of():
    ids = np.array([f"w{i}" for i in range(len(LABELS))])
    selected = pd.DataFrame({"wafer_id": ids, "label": LABELS})
    table = fold_table(ids, assign_folds(LABELS, 5, 42), 5)
    train, test = wafers_of(selected, table, Fold(2)), wafers_of(selected, table, Fold(2), "test")
    assert (len(train), len(test)) == (54, 18)
    assert not set(train["wafer_id"]) & set(test["wafer_id"])
    assert len(wafers_of(selected, table, POOLED)) == len(wafers_of(selected, None, POOLED, "test")) == len(ids)
    with pytest.raises(InputError, match="fold2: no fold table was given"):
        wafers_of(selected, None, Fold(2))
