"""The audit finds planted copies, mirror images, shared lots and contradictory labels, and nothing else."""

import numpy as np
import pandas as pd
import pytest

from waferbench.base.protocols import protocol
from waferbench.base.tables import TABLES
from waferbench.wafers.audit import audit
from waferbench.wafers.splitting import replicate_table
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, wafer_table


def maps(n, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 3, (6, 7)).astype(np.uint8) for _ in range(n)]


def tables(wafers, classes, lots, splits):
    table = wafer_table(WaferSet(WaferStore.of(wafers), classes, lots, [f"w{i}" for i in range(len(wafers))]))
    run = {"protocol": "cv5", "seed": 7, "replicate": 0}
    folds = pd.DataFrame({**run, "wafer_id": table["wafer_id"], "fold": 0, "split": splits})
    return table, folds


def value(result, check, label="", split="", fold=None):
    rows = result[(result["check"] == check) & (result["label"] == label) & (result["split"] == split)]
    if fold is not None:
        rows = rows[rows["fold"] == fold]
    assert len(rows) == 1
    return rows["value"].iloc[0]


@pytest.fixture
def planted():
    a, b, c, d, e, f = maps(6)
    wafers = [a, b, c, d, a, b[::-1], e, e.T, f]
    classes = ["Loc", "Loc", "Scratch", "Scratch", "Loc", "Loc", "Loc", "Scratch", "Scratch"]
    lots = ["l1", "l2", "l3", "l4", "l1", "l5", "l6", "l7", ""]
    splits = ["train", "train", "train", "val", "test", "test", "test", "test", "val"]
    return tables(wafers, classes, lots, splits)


def test_planted(planted):
    table, folds = planted
    result = audit(table, table, folds)
    assert tuple(result.columns) == TABLES["audit"]
    assert set(result["protocol"]) == {"cv5"} and set(result["seed"]) == {7} and set(result["replicate"]) == {0}
    assert value(result, "ingested") == 9
    assert value(result, "selected", "loc") == 5
    assert value(result, "split_count", "scratch", "val", 0) == 2
    assert value(result, "split_count", "", "test", 0) == 4
    assert value(result, "exact_duplicates") == 1
    assert value(result, "exact_duplicates", "scratch") == 0
    assert value(result, "symmetric_duplicates") == 2  # b and its mirror image, e and its transpose
    assert value(result, "symmetric_duplicates", "loc") == 1
    assert value(result, "crossing_exact", "", "test", 0) == 1
    assert value(result, "crossing_symmetric", "", "test", 0) == 1
    assert value(result, "crossing_symmetric", "loc", "test", 0) == 1
    assert value(result, "crossing_exact", "", "val", 0) == 0
    assert value(result, "known_lots") == 8
    assert value(result, "crossing_lots", "", "test", 0) == 1
    assert value(result, "crossing_lots", "", "val", 0) == 0
    assert value(result, "conflicts") == 1
    conflict = result[result["check"] == "conflict"]
    assert conflict["detail"].tolist() == ["w6 (loc), w7 (scratch)"]
    assert conflict["value"].tolist() == [2]


def test_clean():
    table, folds = tables(maps(6, 3), ["a", "b"] * 3, ["", "x", "y", "", "z", ""], ["train"] * 3 + ["test"] * 3)
    result = audit(table, table, folds)
    quiet = result[~result["check"].isin(["ingested", "selected", "split_count", "known_lots"])]
    assert quiet["value"].sum() == 0
    assert "conflict" not in set(result["check"])


def test_unknown_lots_do_not_cross():
    table, folds = tables(maps(4), ["a"] * 4, [""] * 4, ["train", "train", "test", "val"])
    result = audit(table, table, folds)
    assert value(result, "crossing_lots", "", "test", 0) == 0


def test_only_selected_wafers_are_checked_and_order_does_not_matter(planted):
    table, folds = planted
    selected = table[table["class"] == "Scratch"]
    part = folds[folds["wafer_id"].isin(selected["wafer_id"])]
    result = audit(table, selected, part)
    assert value(result, "ingested") == 9
    assert value(result, "selected") == 4
    assert value(result, "exact_duplicates") == 0
    again = audit(table, selected, part.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(result, again)


def test_folds_are_counted_apart(planted):
    table, folds = planted
    other = folds.assign(fold=1, split=["test", "test", "test", "train", "val", "val", "train", "train", "train"])
    result = audit(table, table, pd.concat([folds, other]))
    assert value(result, "split_count", "", "test", 0) == 4
    assert value(result, "split_count", "", "test", 1) == 3
    assert value(result, "crossing_exact", "", "test", 1) == 0


def test_replicates_are_told_apart_and_their_lots_are_their_own():
    sets = ["train0", "val0", "test0", "train1", "val1", "test1"]
    lots = [f"{name}-lot{i}" for name in sets for i in range(2)]
    table, _ = tables(maps(12), ["a", "b"] * 6, lots, ["train"] * 12)
    table["drawn_for"] = np.repeat(sets, 2)
    folds = replicate_table(table["wafer_id"].to_numpy(), table["drawn_for"].to_numpy(), protocol("replicates2"))
    folds = folds.assign(protocol="replicates2", seed=7, replicate=folds["fold"])
    result = audit(table, table, folds)
    assert value(result, "shared_lots") == 0
    assert result[result["check"] == "crossing_lots"]["value"].sum() == 0
    of_fold = result[result["fold"] >= 0]
    assert (of_fold["replicate"] == of_fold["fold"]).all() and set(of_fold["fold"]) == {0, 1}
    assert set(result[result["fold"] == -1]["replicate"]) == {0}
    table.loc[table["drawn_for"] == "val1", "lot"] = "train0-lot1"
    assert value(audit(table, table, folds), "shared_lots") == 1


def test_what_is_reserved_is_counted_and_held_against_training(planted):
    table, folds = planted
    folds = folds.assign(split=["train", "train", "train", "val", "reserve", "reserve", "test", "test", "val"])
    result = audit(table, table, folds)
    assert value(result, "split_count", "", "reserve", 0) == 2
    assert value(result, "crossing_exact", "", "reserve", 0) == 1
    assert value(result, "crossing_symmetric", "", "reserve", 0) == 1
    assert value(result, "crossing_lots", "", "reserve", 0) == 1
    assert not {"reserve", "spare"} & set(audit(table, table, planted[1])["split"])
    spare = audit(table, table, folds.assign(split=folds["split"].replace("reserve", "spare")))
    assert value(spare, "split_count", "", "spare", 0) == 2
    assert set(spare[spare["split"] == "spare"]["check"]) == {"split_count"}, "nothing reads them"
