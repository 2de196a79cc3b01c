"""Recall where a precision is asked for: thresholds of validation wafers, counts of test wafers."""

import math

import numpy as np
import pandas as pd
import pytest

from waferbench.base.errors import InputError
from waferbench.base.tables import GRID_CELL, TABLES
from waferbench.classification.predictions import prediction_table
from waferbench.statistics.rare_recall import (
    measure_rare_recall,
    rarest,
    resampled_ratios,
    threshold_at_precision,
)

LABELS = ["center", "donut", "scratch", "loc"]
ALL = {"cv5": LABELS}


def test_threshold_by_hand():
    scores, positive = np.array([0.6, 0.8, 0.7, 0.9]), np.array([True, True, False, True])
    assert threshold_at_precision(scores, positive, 0.75) == 0.6
    assert threshold_at_precision(scores, positive, 0.9) == 0.8
    assert threshold_at_precision(-scores, ~positive, 0.8) == math.inf
    assert threshold_at_precision(scores, ~positive & positive, 0.1) == math.inf, "no wafer of the class"


def test_no_threshold_lies_between_equal_scores():
    scores = np.array([0.9, 0.8, 0.8])
    assert threshold_at_precision(scores, np.array([True, True, False]), 0.9) == 0.9
    assert threshold_at_precision(scores[1:], np.array([True, False]), 0.9) == math.inf


@pytest.mark.parametrize("precision", [0.3, 0.5, 0.9, 1.0])
def test_threshold_is_the_smallest_of_all_that_keep_the_precision(precision):
    rng = np.random.default_rng(3)
    positive = rng.random(600) < 0.2
    scores = np.round(rng.random(600) * 0.6 + 0.4 * positive * rng.random(600), 2)  # with ties
    kept = [t for t in np.unique(scores) if positive[scores >= t].mean() >= precision - 1e-9]
    assert threshold_at_precision(scores, positive, precision) == min(kept, default=math.inf)


def test_ratios_are_paired_by_seed_and_spread_as_they_should():
    rng = np.random.default_rng(0)
    hit, one = (rng.random((400, 1)) < 0.3).astype(float), np.ones((400, 1))
    both = resampled_ratios(np.hstack([hit, 1 - hit]), np.hstack([one, one]), 2000, seed=5)
    assert both.shape == (2001, 2) and both.sum(1) == pytest.approx(1)
    alone = resampled_ratios(hit, one, 2000, seed=5)
    assert (alone[:, 0] == both[:, 0]).all() and alone[0, 0] == hit.mean()
    assert alone[1:].std() == pytest.approx(math.sqrt(hit.mean() * (1 - hit.mean()) / 400), rel=0.05)
    assert np.isnan(resampled_ratios(hit, 0 * one, 10, seed=5)).all()
    assert np.isnan(resampled_ratios(hit[:0], one[:0], 10, seed=5)).all()


def cells(seeds=(1,), conditions=("real",), n=240, protocol="cv5", draw=0):
    """Pairs of a validation and a test table of two folds; the GAN's network is surer of the true class."""
    rng = np.random.default_rng(draw)
    y = np.repeat([0, 1, 2, 3], [n // 2, n // 8, n // 8, n // 4])
    noise = {part: rng.random((n, 4)) for part in ("val", "test")}
    for condition in conditions:
        for seed in seeds:
            for fold in (0, 1):
                names = {"protocol": protocol, "seed": seed, "replicate": 0, "fold": fold}
                names |= {"backbone": "net", "condition": condition}
                names |= {"n_train_real": 9, "n_train_synthetic": 0, "n_train_repeated": 0}
                yield tuple(
                    table(names, f"{part}{fold}", noise[part] + (1.0 if condition == "gan" else 0.5) * np.eye(4)[y], y)
                    for part in ("val", "test")
                )


def table(names, prefix, weight, y):
    p = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    ids = np.array([f"{prefix}-{i:03d}" for i in range(len(y))])
    return prediction_table(names, "softmax", ids, y, p.argmax(1), LABELS, p)


def test_table_of_the_three_rarest():
    found = measure_rare_recall(cells(conditions=("real", "gan")), ALL, "real", bootstrap=200)
    assert tuple(found) == TABLES["rare_recall"] and len(found) == 6
    assert found.drop_duplicates("label").set_index("label")["n_positive"].to_dict() == dict(
        donut=60, scratch=60, loc=120
    )
    assert (found["n_cells"] == 2).all() and (found["n_reached"] == 2).all() and (found["precision"] == 0.9).all()
    for low, value, high in (("low", "recall", "high"), ("precision_low", "precision_reached", "precision_high")):
        assert (found[low] <= found[value]).all() and (found[value] <= found[high]).all()
        assert (found[low] < found[high]).any()
    by = found.set_index(["condition", "label"])
    assert by.loc["real", ["gain", "gain_low", "gain_high"]].isna().all(axis=None)
    assert by.loc["gan", "gain"].to_numpy() == pytest.approx(by.loc["gan", "recall"] - by.loc["real", "recall"])
    assert (by.loc["gan", "gain_low"] > 0).all()


def test_test_wafers_are_counted_at_the_threshold_of_validation_wafers():
    pairs = list(cells())
    row = measure_rare_recall(pairs, ALL, "real", ["donut"], bootstrap=100).iloc[0]
    hits = called = positives = 0
    for validation, test in pairs:
        limit = threshold_at_precision(
            validation["p_donut"].to_numpy(float), (validation["y_true"] == "donut").to_numpy(), 0.9
        )
        above, true = test["p_donut"].astype(float) >= limit, test["y_true"] == "donut"
        hits, called, positives = hits + (above & true).sum(), called + above.sum(), positives + true.sum()
    assert row["recall"] == pytest.approx(hits / positives) and row["precision_reached"] == pytest.approx(hits / called)
    # Were the labels of the test wafers others, the calls would be the same.
    shuffled = [(v, t.assign(y_true=np.roll(t["y_true"], 7))) for v, t in pairs]
    other = measure_rare_recall(shuffled, ALL, "real", ["donut"], bootstrap=100).iloc[0]
    assert other["precision_reached"] < row["precision_reached"]
    assert other["recall"] * positives / other["precision_reached"] == pytest.approx(called)


def test_the_interval_covers_the_true_recall():
    truth = measure_rare_recall(fixed(60000, 0), ALL, "real", ["donut"], bootstrap=100).iloc[0]
    inside = {"recall": 0, "precision": 0}
    for draw in range(1, 61):
        row = measure_rare_recall(fixed(2400, draw), ALL, "real", ["donut"], bootstrap=200, confidence=0.9).iloc[0]
        inside["recall"] += row["low"] <= truth["recall"] <= row["high"]
        inside["precision"] += row["precision_low"] <= truth["precision_reached"] <= row["precision_high"]
    assert all(48 <= count <= 59 for count in inside.values()), inside


def fixed(n, draw):
    """One pair whose threshold is always the same, with n test wafers."""
    validation = next(cells(n=8000))[0]
    names = dict(validation.iloc[0][list(GRID_CELL)])
    names |= {"n_train_real": 9, "n_train_synthetic": 0, "n_train_repeated": 0}
    rng = np.random.default_rng(draw)
    y = rng.choice(4, n, p=[0.5, 0.125, 0.125, 0.25])
    return [(validation, table(names, "test0", rng.random((n, 4)) + 0.5 * np.eye(4)[y], y))]


def test_a_second_seed_on_the_same_wafers_narrows_nothing_by_itself():
    one = measure_rare_recall(cells(), ALL, "real", ["donut"], bootstrap=200)
    two = measure_rare_recall(cells(seeds=(1, 2)), ALL, "real", ["donut"], bootstrap=200)
    counts = ["n_cells", "n_reached"]
    pd.testing.assert_frame_equal(one.drop(columns=counts), two.drop(columns=counts))  # equal rows are the same wafers
    assert (two[counts] == 2 * one[counts]).all(axis=None)


def test_a_cell_out_of_reach_calls_nothing():
    first, second = cells()
    inverted = second[0].assign(p_donut=1 - second[0]["p_donut"])
    row = measure_rare_recall([first, (inverted, second[1])], ALL, "real", ["donut"], bootstrap=100).iloc[0]
    alone = measure_rare_recall([first], ALL, "real", ["donut"], bootstrap=100).iloc[0]
    assert row["n_cells"] == 2 and row["n_reached"] == 1 and row["n_positive"] == 60
    assert row["recall"] == pytest.approx(alone["recall"] / 2)
    assert row["precision_reached"] == pytest.approx(alone["precision_reached"])
    none = measure_rare_recall([(inverted, second[1])], ALL, "real", ["donut"], bootstrap=100).iloc[0]
    assert none["n_reached"] == none["recall"] == none["high"] == 0
    assert none[["precision_reached", "precision_low", "precision_high"]].isna().all()


def test_a_leaky_protocol_has_no_gains():
    both = [*cells(conditions=("real", "gan")), *cells(conditions=("real", "gan"), protocol="leaky_80_20")]
    labels = {**ALL, "leaky_80_20": LABELS}
    found = measure_rare_recall(both, labels, "real", ["donut"], ["leaky_80_20"], bootstrap=100)
    known = found[found["condition"] == "gan"].set_index("protocol")["gain"].notna().to_dict()
    assert known == {"cv5": True, "leaky_80_20": False} and found["recall"].gt(0).all()


def test_what_is_wrong_is_named():
    with pytest.raises(InputError, match=r"rare_classes: 'dounut'"):
        measure_rare_recall(cells(), ALL, "real", ["dounut"])
    (validation, _), (_, test) = cells()
    with pytest.raises(InputError, match="validation wafers of cell"):
        measure_rare_recall([(validation, test)], ALL, "real")


def test_classes_without_wafers_are_not_the_rarest():
    assert rarest(pd.Series(["center"] * 3 + ["loc"]), LABELS) == ["loc", "center"]
