"""Folds: every wafer tests once, classes are kept in proportion, groups stay together."""

import numpy as np
import pandas as pd
import pytest

from waferbench.base.errors import InputError
from waferbench.base.protocols import protocol
from waferbench.base.scope import POOLED, Fold
from waferbench.base.tables import RUN, TABLES
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.splitting import (
    assign_folds,
    assign_split,
    fold_table,
    replicate_table,
    split_table,
    with_reserve,
    with_spare,
)
from waferbench.wafers.table import fold_groups

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
    assert wafers_of(selected, table, Fold(2), "reserve").empty
    with pytest.raises(InputError, match="pooled: no wafer is withheld"):
        wafers_of(selected, table, POOLED, "reserve")
    for split in ("valid", "spare"):
        with pytest.raises(InputError, match=f"found the split '{split}', expected one of train, val, test or reserve"):
            wafers_of(selected, table, Fold(2), split)


def test_each_replicate_has_its_own_wafers():
    drawn_for = np.repeat(["train0", "val0", "test0", "train1", "val1", "test1"], [4, 1, 3, 4, 1, 3])
    ids = np.array([f"w{i}" for i in range(len(drawn_for))])
    table = replicate_table(ids, drawn_for, protocol("replicates2"))
    sizes = table.groupby(["fold", "split"])["wafer_id"].agg(list).to_dict()
    assert sizes[0, "train"] == ["w0", "w1", "w2", "w3"] and sizes[0, "val"] == ["w4"]
    assert sizes[1, "train"] == ["w8", "w9", "w10", "w11"] and sizes[1, "val"] == ["w12"]
    assert sizes[0, "test"] == ["w5", "w6", "w7"] and sizes[1, "test"] == ["w13", "w14", "w15"]
    with pytest.raises(InputError, match="no wafer was simulated for 'train2' of replicates3"):
        replicate_table(ids, drawn_for, protocol("replicates3"))


def grouped(seed=0):
    """A study with copies: half of the wafers are in pairs of equal maps, and twelve share a lot each."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.array(["center", "loc", "scratch"], object), [120, 60, 20])
    canonical = np.array([f"m{i}" for i in range(len(labels))], object)
    pairs = rng.permutation(len(labels))[:100].reshape(-1, 2)
    canonical[pairs[:, 1]] = canonical[pairs[:, 0]]
    lots = np.array([f"lot{i}" for i in rng.permutation(len(labels)) // 12], object)
    ids = [f"w{i}" for i in range(len(labels))]
    return pd.DataFrame({"wafer_id": ids, "label": labels, "canonical": canonical, "lot": lots})


@pytest.mark.parametrize("name", ["cv5", "duplicate_cv5", "lot_cv5", "holdout_80_10_10"])
def test_no_split_shares_a_wafer_or_a_copy_with_the_reserve(name):
    selected, chosen = grouped(), protocol(name)
    plain = split_table(
        selected["wafer_id"].to_numpy(), selected["label"].to_numpy(), chosen, 42, fold_groups(selected, chosen.group)
    )
    table = with_reserve(plain, selected, 0.3, 42)
    assert table[["wafer_id", "fold"]].equals(plain[["wafer_id", "fold"]])
    moved = table["split"] != plain["split"]
    assert set(plain[moved]["split"]) == {"train"} and set(table[moved]["split"]) == {"reserve"}
    for fold in range(chosen.folds):
        reserve = wafers_of(selected, table, Fold(fold), "reserve")
        for split in ("train", "val", "test"):
            other = wafers_of(selected, table, Fold(fold), split)
            for key in ("wafer_id", "canonical"):
                assert len(other) and not set(reserve[key]) & set(other[key]), (fold, split, key)
        whole = wafers_of(selected, plain, Fold(fold))["label"].value_counts()
        for label, count in reserve["label"].value_counts().items():
            assert round(0.3 * whole[label]) - 2 <= count <= round(0.3 * whole[label])
    assert table.equals(with_reserve(plain, selected, 0.3, 42))
    assert not table.equals(with_reserve(plain, selected, 0.3, 43))
    assert with_reserve(plain, selected, 0.0, 42).equals(plain)


def test_a_class_that_a_reserve_empties_is_named():
    selected = grouped()
    few = selected.groupby("label").head(4)
    ids, labels = few["wafer_id"].to_numpy(), few["label"].to_numpy()
    plain = split_table(ids, labels, protocol("cv3"), 42)
    for share in (0.1, 0.8):
        with pytest.raises(InputError, match=rf"oracle\.reserve: {share} of .* class 'center' in fold 0 leaves \d and"):
            with_reserve(plain, few, share, 42)


def test_nothing_is_reserved_of_classes_that_no_oracle_draws():
    selected = grouped()
    ids, labels = selected["wafer_id"].to_numpy(), selected["label"].to_numpy()
    plain = split_table(ids, labels, protocol("holdout_80_10_10"), 42)
    table = with_reserve(plain, selected, 0.3, 42, ["center", "scratch"])
    reserve, train = (wafers_of(selected, table, Fold(0), split) for split in ("reserve", "train"))
    assert set(reserve["label"]) == {"center", "scratch"}
    others = train[train["label"] == "loc"]
    assert len(others) == len(wafers_of(selected, plain, Fold(0)).query("label == 'loc'"))
    assert not set(reserve["canonical"]) & set(others["canonical"]), "a copy of another class trains"


def test_wafers_beyond_the_cap_are_spare_and_all_else_stays():
    selected = grouped().assign(sha256=[f"{7919 * i % 1009:04d}" for i in range(200)])
    ids, labels = selected["wafer_id"].to_numpy(), selected["label"].to_numpy()
    plain = with_reserve(split_table(ids, labels, protocol("cv4"), 42), selected, 0.2, 42)
    table = with_spare(plain, selected, 12)
    assert table[["wafer_id", "fold"]].equals(plain[["wafer_id", "fold"]])
    moved = table["split"] != plain["split"]
    assert set(plain[moved]["split"]) == {"train"} and set(table[moved]["split"]) == {"spare"}
    for fold in range(4):
        before, train = (wafers_of(selected, folds, Fold(fold)) for folds in (plain, table))
        first = [part.sort_values("sha256")["wafer_id"].head(12) for _, part in before.groupby("label")]
        assert set(train["wafer_id"]) == set(pd.concat(first)), "not the first by hash"
        assert train["label"].value_counts()["center"] == 12 > before["label"].value_counts()["scratch"]
    assert table.equals(with_spare(plain, selected.sample(frac=1, random_state=1), 12)), "whatever the order"
    assert with_spare(plain, selected, 0).equals(plain) and with_spare(plain, selected, 500).equals(plain)
