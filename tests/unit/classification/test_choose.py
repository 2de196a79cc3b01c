"""Which classifier is put to work: by validation wafers, the simplest of a tie."""

import numpy as np
import pandas as pd
import pytest

from waferbench.base.errors import InputError
from waferbench.classification.predict.choose import choose_cell
from waferbench.classification.predictions import prediction_table

NAMES = ["a", "b", "c"]
N = 120
SYNTHETIC = ("gan", "lora")


def scores(values):
    """Of test wafers: "protocol backbone condition head" -> a value a fold."""
    rows = [(*key.split(), fold, value) for key, line in values.items() for fold, value in enumerate(line)]
    frame = pd.DataFrame(rows, columns=["protocol", "backbone", "condition", "head", "fold", "macro_f1"])
    return frame.assign(seed=42, replicate=0)


def validation(key, right, fold=0, elsewhere=False):
    """A cell's table, so many of its wafers called rightly: the first ones, or the last ones."""
    protocol, backbone, condition, head = key.split()
    cell = {"protocol": protocol, "seed": 42, "replicate": 0, "fold": fold, "backbone": backbone}
    synthetic, repeated = 5 * (condition in SYNTHETIC), 5 * (condition == "oversample")
    counts = {"n_train_real": 9, "n_train_synthetic": synthetic, "n_train_repeated": repeated}
    counts |= {"n_added": synthetic + repeated, "steps": 60}
    y = np.arange(N) % 3
    place = np.arange(N)[::-1] if elsewhere else np.arange(N)
    called = np.where(place < right, y, (y + 1) % 3)
    ids = np.array([f"w{i}" for i in range(N)])
    return prediction_table({**cell, "condition": condition, **counts}, head, ids, y, called, NAMES)


def choose(test, tables, protocols=("cv5",), backbones=("big", "small"), parameters=None):
    conditions = ["real", "real_aug", "oversample", *SYNTHETIC]
    return choose_cell(test, tables, protocols, NAMES, backbones, conditions, parameters)


def recipe(found):
    return found["backbone"], found["condition"], found["head"]


def test_validation_chooses_recipe_and_cell_and_test_scores_nothing():
    rights = {"big gan softmax": (110, 114), "big real ecoc_svm": (80, 90), "small real softmax": (60, 90)}
    tables = [
        validation(f"cv5 {key}", right, fold) for key, folds in rights.items() for fold, right in enumerate(folds)
    ]
    tables += [validation("leaky big real softmax", 120, 0), validation("later big real softmax", 120, 0)]
    best_on_test = {"cv5 small real softmax": [0.99, 0.99], "cv5 big real ecoc_svm": [0.9, 0.9]}
    test = scores({**best_on_test, "cv5 big gan softmax": [0.5, 0.7], "later big real softmax": [1.0]})
    found = choose(test, tables, ("cv5", "later"))
    assert recipe(found) == ("big", "gan", "softmax") and found["fold"] == 1 and found["protocol"] == "cv5"
    assert found["tied"] == [{"backbone": "big", "condition": "gan", "head": "softmax"}]
    assert found["macro_f1"] == pytest.approx(0.6) and found["n_cells"] == 2 and found["n_recipes"] == 3
    assert found["validation_macro_f1"] == pytest.approx(114 / 120, abs=0.01)
    assert found["recipe_validation_macro_f1"] == pytest.approx(112 / 120, abs=0.01)
    better = test.assign(macro_f1=1 - test["macro_f1"])
    again = choose(better, tables, ("cv5", "later"))
    assert recipe(again) == recipe(found) and again["fold"] == found["fold"]


def over_folds(rights):
    tables = [
        validation(f"cv5 {key}", right, fold) for key, folds in rights.items() for fold, right in enumerate(folds)
    ]
    return scores({f"cv5 {key}": [0.5] * len(folds) for key, folds in rights.items()}), tables


def test_recipes_within_one_standard_error_of_the_best_are_a_tie_that_the_simplest_wins():
    # against gan: oversample differs by 6, -6, 6 (mean 2, error 4), real by 10, 12, 11 (mean 11, error 0.6)
    rights = {"big gan softmax": (100, 100, 100), "big oversample softmax": (94, 106, 94)}
    found = choose(*over_folds({**rights, "big real softmax": (90, 88, 89)}))
    assert recipe(found) == ("big", "oversample", "softmax") and found["fold"] == 1
    assert [part["condition"] for part in found["tied"]] == ["oversample", "gan"] and found["n_recipes"] == 3


@pytest.mark.parametrize(
    "worse, better",
    [
        ("big gan softmax", "small real_aug ecoc_svm"),  # data before head and backbone
        ("big lora softmax", "big oversample softmax"),
        ("big real ecoc_svm", "small real softmax"),  # head before size and order
        ("big real softmax", "small real softmax"),  # size before order
        ("small real_aug softmax", "small real softmax"),  # the study's order at last
    ],
)
def test_what_is_simple(worse, better):
    found = choose(*over_folds({worse: (100, 90), better: (90, 100)}), parameters={"big": 100, "small": 10})
    assert recipe(found) == tuple(better.split()) and len(found["tied"]) == 2


def test_without_parameters_the_study_s_order_tells_backbones():
    found = choose(*over_folds({"small real softmax": (100, 90), "big real softmax": (90, 100)}))
    assert recipe(found) == ("big", "real", "softmax")


@pytest.mark.parametrize("right, tied", [(99, True), (70, False)])
def test_with_one_cell_resampled_wafers_tell_a_tie(right, tied):
    test, (best, _) = over_folds({"big gan softmax": (100,), "big real softmax": (right,)})
    other = validation("cv5 big real softmax", right, elsewhere=True)
    found = choose(test, [best, other])
    assert (len(found["tied"]) == 2) == tied
    assert found["condition"] == ("real" if tied else "gan")


def test_recipes_that_miss_a_cell_are_not_asked():
    test, tables = over_folds({"big gan softmax": (110, 110), "big real softmax": (60, 60)})
    found = choose(
        test, [table for table in tables if not (table["condition"].iloc[0] == "gan" and table["fold"].iloc[0])]
    )
    assert recipe(found) == ("big", "real", "softmax") and found["n_recipes"] == 1
    with pytest.raises(InputError, match="no backbone and condition has a table of each of the 2 cells of cv5"):
        choose(test, tables[:1])
    with pytest.raises(InputError, match="protocols cv5, expected one of holdout"):
        choose(test, tables, ("holdout",))
