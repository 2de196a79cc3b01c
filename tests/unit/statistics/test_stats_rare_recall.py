"""Recall where a precision is asked for: thresholds of validation wafers, counts of test wafers."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from waferbench.base.errors import InputError
from waferbench.base.tables import COUNTS, TABLES
from waferbench.classification.predictions import prediction_table
from waferbench.statistics.rare_recall import measure_rare_recall, rarest
from waferbench.statistics.thresholds import average_precision, calls_above, rank, threshold_at_precision

LABELS = ["center", "donut", "scratch", "loc"]
ALL = {"cv5": LABELS}
NO_COUNTS = dict.fromkeys(COUNTS, 0)


def one(scores, positive):
    return rank(np.asarray(scores), np.asarray(positive), np.ones((1, len(scores)), np.float32))


def threshold(scores, positive, precision):
    return threshold_at_precision(one(scores, positive), precision)[0]


def test_threshold_by_hand():
    scores, positive = np.array([0.6, 0.8, 0.7, 0.9]), np.array([True, True, False, True])
    assert threshold(scores, positive, 0.75) == 0.6
    assert threshold(scores, positive, 0.9) == 0.8
    assert threshold(-scores, ~positive, 0.8) == math.inf
    assert threshold(scores, ~positive & positive, 0.1) == math.inf, "no wafer of the class"
    assert threshold(scores[:0], positive[:0], 0.1) == math.inf


def test_no_threshold_lies_between_equal_scores():
    scores = np.array([0.9, 0.8, 0.8])
    assert threshold(scores, np.array([True, True, False]), 0.9) == 0.9
    assert threshold(scores[1:], np.array([True, False]), 0.9) == math.inf


@pytest.mark.parametrize("precision", [0.3, 0.5, 0.6, 0.9, 1.0])
def test_of_every_resample_the_smallest_of_all_thresholds_that_keep_the_precision(precision):
    rng = np.random.default_rng(3)
    positive = rng.random(300) < 0.2
    scores = np.round(rng.random(300) * 0.6 + 0.4 * positive * rng.random(300), 2)  # with ties
    weights = rng.poisson(1, (20, 300)).astype(np.float32)
    ranked = rank(scores, positive, weights)
    found = threshold_at_precision(ranked, precision)
    called, hits = calls_above(ranked, found)
    for w, limit, n_called, n_hits, ap in zip(weights, found, called, hits, average_precision(ranked), strict=True):
        rows = np.repeat(np.arange(300), w.astype(int))
        s, p = scores[rows], positive[rows]
        kept = [t for t in np.unique(s) if p[s >= t].mean() >= precision - 1e-9]
        assert limit == min(kept, default=math.inf)
        assert (n_called, n_hits) == ((s >= limit).sum(), p[s >= limit].sum())
        assert ap == pytest.approx(average_precision_score(p, s), abs=1e-6)


def test_average_precision_needs_a_wafer_of_the_class():
    assert np.isnan(average_precision(one([0.1, 0.2], [False, False]))).all()


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
                names |= NO_COUNTS
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
    assert (found["ap_low"] <= found["average_precision"]).all() and (found["ap_low"] < found["ap_high"]).all()
    assert by.loc["real", ["gain", "gain_low", "gain_high", "ap_gain", "ap_gain_low"]].isna().all(axis=None)
    difference = by.loc["gan", "average_precision"] - by.loc["real", "average_precision"]
    assert by.loc["gan", "ap_gain"].to_numpy() == pytest.approx(difference) and (by.loc["gan", "ap_gain_low"] > 0).all()
    assert by.loc["gan", "gain"].to_numpy() == pytest.approx(by.loc["gan", "recall"] - by.loc["real", "recall"])
    assert (by.loc["gan", "gain_low"] > 0).all()


def test_test_wafers_are_counted_at_the_threshold_of_validation_wafers():
    pairs = list(cells())
    row = measure_rare_recall(pairs, ALL, "real", ["donut"], bootstrap=100).iloc[0]
    hits = called = positives = 0
    for validation, test in pairs:
        limit = threshold(validation["p_donut"].to_numpy(float), validation["y_true"].to_numpy() == "donut", 0.9)
        above, true = test["p_donut"].astype(float) >= limit, test["y_true"] == "donut"
        hits, called, positives = hits + (above & true).sum(), called + above.sum(), positives + true.sum()
    assert row["recall"] == pytest.approx(hits / positives) and row["precision_reached"] == pytest.approx(hits / called)
    # Were the labels of the test wafers others, the calls would be the same.
    shuffled = [(v, t.assign(y_true=np.roll(t["y_true"], 7))) for v, t in pairs]
    other = measure_rare_recall(shuffled, ALL, "real", ["donut"], bootstrap=100).iloc[0]
    assert other["precision_reached"] < row["precision_reached"]
    assert other["recall"] * positives / other["precision_reached"] == pytest.approx(called)


def test_alike_models_are_told_apart_about_as_often_as_the_interval_says():
    apart = {"gain": 0, "ap_gain": 0}
    for draw in range(60):
        pairs = {"real": [], "gan": []}
        rng = np.random.default_rng(draw)
        for part in ("val", "test"):
            y = np.repeat([1, 0], [40, 240])
            shared = rng.normal(size=len(y))
            for condition, tables in pairs.items():
                odds = np.exp(3 * y + 0.7 * shared + 0.7 * rng.normal(size=len(y)))
                p = np.zeros((len(y), 4))
                p[:, 1], p[:, 0] = odds / (1 + odds), 1 / (1 + odds)
                names = {"protocol": "cv5", "seed": 1, "replicate": 0, "fold": 0, "backbone": "net"}
                tables.append(table({**names, "condition": condition, **NO_COUNTS}, part, p, y))
        found = measure_rare_recall(map(tuple, pairs.values()), ALL, "real", ["donut"], bootstrap=150)
        row = found.set_index("condition").loc["gan"]
        for name in apart:
            apart[name] += not row[f"{name}_low"] <= 0 <= row[f"{name}_high"]
    assert apart["gain"] <= 6 and apart["ap_gain"] <= 8, apart


def test_the_noise_of_a_threshold_is_in_the_interval():
    (validation, test), _ = cells(n=2400)
    few = validation.groupby("y_true").head(12)
    wide, narrow = (
        measure_rare_recall([(v, test)], ALL, "real", ["donut"], bootstrap=300).iloc[0] for v in (few, validation)
    )
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])
    assert (wide["ap_low"], wide["ap_high"]) == (narrow["ap_low"], narrow["ap_high"]), "which has no threshold"


def test_the_interval_covers_the_true_recall():
    truth = measure_rare_recall(drawn(40000, 0), ALL, "real", ["donut"], bootstrap=2).iloc[0]
    inside = dict.fromkeys(("recall", "precision_reached", "average_precision"), 0)
    low = {"recall": "low", "precision_reached": "precision_low", "average_precision": "ap_low"}
    for draw in range(1, 61):
        row = measure_rare_recall(drawn(1200, draw), ALL, "real", ["donut"], bootstrap=150, confidence=0.9).iloc[0]
        for name in inside:
            inside[name] += row[low[name]] <= truth[name] <= row[low[name].replace("low", "high")]
    assert all(48 <= count <= 60 for count in inside.values()), inside


def drawn(n, draw):
    """One pair of n validation and n test wafers."""
    names = {"protocol": "cv5", "seed": 1, "replicate": 0, "fold": 0, "backbone": "net", "condition": "real"}
    rng = np.random.default_rng(draw)
    tables = []
    for part in ("val", "test"):
        y = rng.choice(4, n, p=[0.5, 0.125, 0.125, 0.25])
        tables.append(table(names | NO_COUNTS, part, rng.random((n, 4)) + 0.5 * np.eye(4)[y], y))
    return [tuple(tables)]


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
