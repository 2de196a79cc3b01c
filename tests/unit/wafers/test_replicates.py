"""Simulated replicates: training, validation and test sets of their own, no lot in two of them."""

import numpy as np
import pandas as pd
import pytest

from waferbench.base.errors import InputError
from waferbench.config.stages import Replicated
from waferbench.config.study import SimulatedWafers
from waferbench.wafers.simulate.replicates import replicated_wafers
from waferbench.wafers.table import map_hash

SETTINGS = SimulatedWafers(counts={"Loc": 21, "Center": 10, "Donut": 0, "none": 1}, wafers_per_lot=6, duplicates=0.1)
CLASSES = ("Center", "Loc")


@pytest.fixture(scope="module")
def three():
    return replicated_wafers(SETTINGS, Replicated(count=3, test_per_class=8), 5, CLASSES)


def table(drawn):
    wafers, sets = drawn
    return pd.DataFrame({"id": wafers.ids, "class": wafers.classes, "lot": wafers.lots, "set": sets})


def test_each_has_the_wafers_asked_for_and_a_fifth_of_each_class_validates(three):
    sizes = table(three).groupby("set")["class"].value_counts().unstack(fill_value=0)
    for replicate in range(3):
        assert sizes.loc[f"train{replicate}"].to_dict() == {"Center": 8, "Loc": 17, "none": 1}
        assert sizes.loc[f"val{replicate}"].to_dict() == {"Center": 2, "Loc": 4, "none": 0}
        assert sizes.loc[f"test{replicate}"].to_dict() == {"Center": 8, "Loc": 8, "none": 8}
    assert len(sizes) == 9


def test_training_wafers_repeat_one_another_as_real_ones_do_and_test_wafers_do_not(three):
    hashes = table(three).assign(map=[map_hash(wafer) for wafer in three[0].store])
    repeats = hashes.groupby("set")["map"].apply(lambda maps: maps.duplicated().sum())
    assert repeats["train0"] > 0 and repeats["test0"] == 0


def test_no_lot_and_no_id_is_in_two_sets(three):
    found = table(three)
    assert found["id"].is_unique
    assert (found.groupby("lot")["set"].nunique() == 1).all() and found["lot"].nunique() > 9


def test_sets_differ_and_depend_on_the_seed_and_their_name_alone(three):
    found, store = table(three), three[0].store
    maps = {name: [store[i] for i in np.flatnonzero(found["set"] == name)] for name in found["set"].unique()}
    assert not equal(maps["train0"], maps["train1"]) and not equal(maps["test0"], maps["test1"])
    two = replicated_wafers(SETTINGS, Replicated(count=2, test_per_class=8), 5, CLASSES)
    for name in ("train1", "val1", "test1"):
        at = np.flatnonzero(table(two)["set"] == name)
        assert equal(maps[name], [two[0].store[i] for i in at]), (
            "another number of replicates keeps those that are there"
        )
    other = replicated_wafers(SETTINGS, Replicated(count=2, test_per_class=8), 6, CLASSES)
    assert not equal(list(two[0].store), list(other[0].store))


def equal(some, others):
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def test_a_class_that_cannot_train_and_validate_is_named():
    with pytest.raises(
        InputError, match=r"counts\.none: found 1, expected at least 2 where folds\.protocols names rep"
    ):
        replicated_wafers(SETTINGS, Replicated(count=2, test_per_class=8), 5, ("Loc", "none"))
    with pytest.raises(InputError, match=r"'Donut' not found in dataset\.simulated\.counts"):
        replicated_wafers(SETTINGS, Replicated(count=2, test_per_class=8), 5, ("Loc", "Donut"))
