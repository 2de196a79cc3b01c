"""Intervals over test wafers: scores as scikit-learn has them, coverage, pairing."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from waferbench.base.tables import TABLES
from waferbench.statistics.intervals import count_calls, f1_of, resample, wafer_intervals

LABELS = ["a", "b", "c"]


def table(condition, right, n=300, fold=0, seed=1, head="softmax", rng=None):
    """Predictions of which a share is right, the rest called by chance."""
    rng = rng or np.random.default_rng(0)
    true = np.repeat(LABELS, n // 3)
    called = np.where(rng.random(n) < right, true, rng.choice(LABELS, n))
    ids = [f"w{fold}-{i}" for i in range(n)]
    names = {"protocol": "cv5", "seed": seed, "replicate": 0, "fold": fold, "backbone": "net", "condition": condition}
    return pd.DataFrame({"wafer_id": ids, "y_true": true, "y_pred": called}).assign(**names, head=head)


def test_macro_f1_is_scikit_learns_on_repeated_wafers():
    rng = np.random.default_rng(0)
    true, called = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    called[called == 2] = 1  # a class never called
    weights = rng.integers(0, 3, (5, 40))
    ours = f1_of(count_calls(true, called, weights.astype(np.float32), 3))
    for w, value in zip(weights, ours, strict=True):
        rows = np.repeat(np.arange(40), w)
        assert value == pytest.approx(f1_score(true[rows], called[rows], labels=[0, 1, 2], average="macro"), abs=1e-6)


def test_resamples_stay_within_their_class():
    y = np.repeat([0, 1, 2], [50, 5, 1])
    drawn = resample(y, 200, np.random.default_rng(0))
    for label, count in enumerate((50, 5, 1)):
        assert (drawn[:, y == label].sum(1) == count).all()
    assert drawn[:, :50].std() == pytest.approx(1, abs=0.1)  # counts are nearly Poisson


def test_leaky_protocols_have_scores_and_no_differences():
    cells = pd.concat([table("real", 0.5), table("gan", 0.9)])
    both = pd.concat([cells, cells.assign(protocol="leaky_80_20")])
    labels = dict.fromkeys(("cv5", "leaky_80_20"), LABELS)
    found = wafer_intervals(both, labels, "real", ["leaky_80_20"], count=100)
    assert tuple(found) == TABLES["intervals"]
    counts = found.groupby("protocol")["reference"].agg(lambda column: sorted(column)).to_dict()
    assert counts == {"cv5": ["", "", "real"], "leaky_80_20": ["", ""]}


def test_a_score_a_difference_and_a_second_fold():
    rng = np.random.default_rng(3)
    cells = [table(c, r, fold=f, rng=rng) for f in (0, 1) for c, r in (("real", 0.5), ("gan", 0.9))]
    found = wafer_intervals(pd.concat(cells), {"cv5": LABELS}, "real", count=400).set_index(["condition", "reference"])
    assert list(found.index) == [("gan", ""), ("gan", "real"), ("real", "")]
    per_fold = [f1_score(c["y_true"], c["y_pred"], average="macro") for c in cells]
    assert found.loc[("gan", ""), "value"] == pytest.approx((per_fold[1] + per_fold[3]) / 2)
    gain = found.loc[("gan", "real")]
    assert gain["value"] == pytest.approx(found.loc[("gan", ""), "value"] - found.loc[("real", ""), "value"])
    assert 0 < gain["low"] < gain["value"] < gain["high"] and gain["n_wafers"] == 600 and gain["n_folds"] == 2


def test_folds_put_together_are_scored_once():
    rng = np.random.default_rng(5)
    cells = [table("real", r, n, fold=f, rng=rng) for f, r, n in ((0, 0.9, 30), (1, 0.5, 300))]
    row = wafer_intervals(pd.concat(cells), {"cv5": LABELS}, "real", count=200).iloc[0]
    together = pd.concat(cells)
    assert row["pooled"] == pytest.approx(f1_score(together["y_true"], together["y_pred"], average="macro"))
    assert row["accuracy"] == pytest.approx((together["y_true"] == together["y_pred"]).mean())
    assert row["pooled"] < row["value"] - 0.05, "the small fold counts by its wafers"
    assert row["pooled_low"] < row["pooled"] < row["pooled_high"]
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    second = [cell.assign(seed=2, y_pred=cell["y_true"]) for cell in cells]
    both = wafer_intervals(pd.concat([*cells, *second]), {"cv5": LABELS}, "real", count=50).iloc[0]
    assert both["pooled"] == pytest.approx((row["pooled"] + 1) / 2), "seeds are averaged, not put together"


def test_further_pairs_are_compared_and_none_twice():
    cells = pd.concat([table(name, 0.7) for name in ("real", "oversample", "gan")])
    pairs = [("gan", "oversample"), ("oversample", "real"), ("lora", "oversample")]
    found = wafer_intervals(cells, {"cv5": LABELS}, "real", (), pairs, 50)
    compared = list(zip(found["condition"], found["reference"], strict=True))
    scores = [(name, "") for name in ("gan", "oversample", "real")]
    assert sorted(compared) == sorted([*scores, ("gan", "real"), ("gan", "oversample"), ("oversample", "real")])


def test_equal_predictions_differ_by_nothing_and_more_wafers_say_more():
    same = pd.concat([table("real", 0.7), table("gan", 0.7)])
    gain = wafer_intervals(same, {"cv5": LABELS}, "real", count=200).query("reference == 'real'").iloc[0]
    assert gain["low"] == gain["value"] == gain["high"] == 0
    width = []
    for n in (90, 2700):
        row = wafer_intervals(table("real", 0.7, n), {"cv5": LABELS}, "real", count=300).iloc[0]
        width.append(row["high"] - row["low"])
    assert width[0] > 3 * width[1]


def test_the_interval_covers_the_true_score_about_as_often_as_it_says():
    truth = 0.6 + 0.4 / 3  # recall and precision of every class
    inside = 0
    for seed in range(60):
        cell = table("real", 0.6, 300, rng=np.random.default_rng(seed))
        row = wafer_intervals(cell, {"cv5": LABELS}, "real", (), (), 200, 0.9, seed).iloc[0]
        inside += row["low"] <= truth <= row["high"]
    assert 45 <= inside <= 60
