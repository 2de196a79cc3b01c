"""Recall at a fixed precision."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve

from waferbench.errors import InputError
from waferbench.predictions import prediction_table
from waferbench.stats.rare_recall import measure_rare_recall, rarest, recall_at_precision, resample

LABELS = ["center", "donut", "scratch", "loc"]


def test_by_hand():
    scores, positive = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, True])
    assert recall_at_precision(scores, positive, 0.75) == (pytest.approx([1.0]), 0.6)
    assert recall_at_precision(scores, positive, 0.9) == (pytest.approx([2 / 3]), 0.8)


def test_no_threshold_lies_between_equal_scores():
    scores = np.array([0.9, 0.8, 0.8])
    assert recall_at_precision(scores, np.array([True, True, False]), 0.9)[0] == pytest.approx([0.5])
    recall, threshold = recall_at_precision(np.array([0.8, 0.8]), np.array([True, False]), 0.9)
    assert recall == 0 and np.isnan(threshold)


@pytest.mark.parametrize("precision", [0.3, 0.5, 0.9, 1.0])
def test_weighted_resamples_agree_with_scikit_learn(precision):
    rng = np.random.default_rng(3)
    n = 3000  # far more rows than the top of the order that is looked at
    positive = rng.random(n) < 0.03
    scores = np.round(rng.random(n) * 0.6 + 0.4 * positive * rng.random(n), 3)  # with ties
    weights = rng.integers(0, 4, (20, n)).astype(np.int16)
    ours, _ = recall_at_precision(scores, positive, precision, weights)
    for row, value in zip(weights, ours, strict=True):
        p, r, _ = precision_recall_curve(np.repeat(positive, row), np.repeat(scores, row))
        assert value == pytest.approx(r[p >= precision - 1e-12].max())


def test_resamples_stay_within_their_class():
    y = np.repeat([0, 1, 2], [50, 5, 1])
    drawn = resample(y, 200, np.random.default_rng(0))
    for label, count in enumerate((50, 5, 1)):
        assert (drawn[:, y == label].sum(1) == count).all()
    assert drawn[:, :50].std() == pytest.approx(1, abs=0.1)  # counts are nearly Poisson


def cells(seeds=(1,), conditions=("real",), n=240):
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3], [n // 2, n // 8, n // 8, n // 4])
    ids = np.array([f"w{i:03d}" for i in range(n)])
    noise = rng.random((n, 4))
    for condition in conditions:
        p = noise + (1.0 if condition == "gan" else 0.5) * np.eye(4)[y]
        p = (p / p.sum(1, keepdims=True)).astype(np.float32)
        for seed in seeds:
            for fold in (0, 1):
                names = {"protocol": "cv5", "seed": seed, "fold": fold, "backbone": "net", "condition": condition}
                names |= {"n_train_real": 9, "n_train_synthetic": 0, "n_train_repeated": 0}
                at = np.arange(n) % 2 == fold
                yield prediction_table(names, "softmax", ids[at], y[at], p[at].argmax(1), LABELS, p[at])


def test_table_of_the_three_rarest():
    table = measure_rare_recall(cells(conditions=("real", "gan")), {"cv5": LABELS}, bootstrap=200)
    assert set(table["label"]) == {"donut", "scratch", "loc"} and len(table) == 6
    assert table.set_index("label")["n_positive"].to_dict() == {"donut": 30, "scratch": 30, "loc": 60}
    by = table.set_index(["condition", "label"])
    assert (by.loc["gan", "recall"] > by.loc["real", "recall"]).all()
    assert ((table["low"] <= table["recall"]) & (table["recall"] <= table["high"])).all()
    assert (by.loc["real", "high"] > by.loc["real", "low"]).all() and table["reached"].all()


def test_a_second_seed_on_the_same_wafers_narrows_nothing_by_itself():
    one = measure_rare_recall(cells(), {"cv5": LABELS}, ["donut"], bootstrap=200)
    two = measure_rare_recall(cells(seeds=(1, 2)), {"cv5": LABELS}, ["donut"], bootstrap=200)
    pd.testing.assert_frame_equal(one, two)  # equal rows twice are the same wafers, not more of them


def test_out_of_reach_is_said():
    table = measure_rare_recall(cells(), {"cv5": LABELS}, ["donut"], precision=1.0, bootstrap=100)
    assert table["reached"].all()
    inverted = (frame.assign(p_1=1 - frame["p_1"]) for frame in cells())
    table = measure_rare_recall(inverted, {"cv5": LABELS}, ["donut"], precision=1.0, bootstrap=100)
    assert not table["reached"].any() and (table["recall"] == 0).all() and table["threshold"].isna().all()


def test_an_unknown_class_is_named():
    with pytest.raises(InputError, match=r"rare_classes: 'dounut'"):
        measure_rare_recall(cells(), {"cv5": LABELS}, ["dounut"])


def test_classes_without_wafers_are_not_the_rarest():
    assert rarest(pd.Series(["center"] * 3 + ["loc"]), LABELS) == ["loc", "center"]
