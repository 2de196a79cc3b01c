"""Shares of the oracle's gain: Fieller's interval, and when there is none."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.config.synthesis.settings import NamedCondition
from waferbench.statistics.ceiling import ABSENT, ITSELF, UNDETERMINED, UNLIKE, fieller, share_of_ceiling
from waferbench.statistics.comparisons import corrected_t_test

CONDITIONS = [
    NamedCondition(name="real_aug", source="none"),
    NamedCondition(name="oversample", source="repeat"),
    NamedCondition(name="oracle", source="oracle"),
    NamedCondition(name="gan", source="gan"),
]
GAINS = {"real_aug": 0.0, "oversample": 0.01, "oracle": 0.10, "gan": 0.05}


def scores(gains=GAINS, noise=0.01, folds=4, protocol="replicates4", seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            **{"protocol": protocol, "seed": 1, "replicate": 0, "fold": fold, "backbone": "net", "head": "softmax"},
            **{"condition": condition, "macro_f1": 0.6 + gain + noise * rng.normal(), "n_test": 10, "n_train_real": 30},
        }
        for condition, gain in gains.items()
        for fold in range(folds)
    )


@pytest.mark.parametrize("ratio", [0.0, 1 / 3])
def test_the_ends_of_the_interval_are_where_the_test_turns(ratio):
    rng = np.random.default_rng(2)
    wholes = 1 + 0.2 * rng.normal(size=5)
    parts = 0.4 * wholes + 0.1 * rng.normal(size=5)
    share, low, high = fieller(parts, wholes, ratio)
    assert low < share == pytest.approx(parts.mean() / wholes.mean()) and share < high
    for end in (low, high):
        assert corrected_t_test(parts - end * wholes, ratio)["p_value"] == pytest.approx(0.05)
    assert corrected_t_test(parts - (low + high) / 2 * wholes, ratio)["p_value"] > 0.05


def test_the_interval_holds_the_true_share_as_often_as_it_says():
    rng, inside, known = np.random.default_rng(0), 0, 0
    for _ in range(1500):
        shared = rng.normal(0, 0.2, 4)
        share, low, high = fieller(0.4 + shared + rng.normal(0, 0.1, 4), 1 + shared + rng.normal(0, 0.1, 4), 0.0)
        known += not math.isnan(share)
        inside += low <= 0.4 <= high
    assert known > 1400 and inside / known == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    "wholes", [[-0.1, 0.3, 0.1, 0.05], [-1.0, -1.1, -0.9, -1.2], [0.2, 0.2, 0.2, 0.2], [0.3]], ids=str
)
def test_no_share_of_what_may_be_nothing(wholes):
    assert all(math.isnan(value) for value in fieller(np.linspace(0.1, 0.2, len(wholes)), wholes, 0.0))


def test_the_table_by_hand():
    table = scores()
    found = share_of_ceiling(table, CONDITIONS, "real_aug", ["oracle"])
    assert tuple(found) == TABLES["ceiling"] and found["condition"].tolist() == ["oversample", "oracle", "gan"]
    rows, by = found.set_index("condition"), table.pivot(index="fold", columns="condition", values="macro_f1")
    gan, whole = by["gan"] - by["real_aug"], by["oracle"] - by["real_aug"]
    row = rows.loc["gan"]
    assert tuple(row[["share", "low", "high"]]) == pytest.approx(fieller(gan, whole, 0.0))
    assert row["gain"] == pytest.approx(gan.mean()) and row["ceiling"] == pytest.approx(whole.mean())
    interval = stats.ttest_1samp(whole, 0).confidence_interval()
    assert (row["ceiling_low"], row["ceiling_high"]) == pytest.approx((interval.low, interval.high))
    assert row["reference"] == "oversample" and row["n_folds"] == 4
    assert (
        row["over_reference"] == pytest.approx((by["gan"] - by["oversample"]).mean()) and row["over_power_effect"] > 0
    )
    assert row["over_low"] < row["over_reference"] < row["over_high"]
    assert rows["verdict"].to_dict() == {"oversample": "", "oracle": ITSELF, "gan": ""}
    assert math.isnan(rows.loc["oracle", "share"]) and rows.loc["oversample", "reference"] == ""


def test_folds_that_share_wafers_say_less():
    fold, replicate = (
        share_of_ceiling(scores(protocol=name), CONDITIONS, "real_aug", ["oracle"]).set_index("condition").loc["gan"]
        for name in ("cv5", "replicates4")
    )
    assert fold["share"] == replicate["share"]
    assert fold["high"] - fold["low"] > 1.2 * (replicate["high"] - replicate["low"])


def test_augmentation_enters_neither_side_of_a_share():
    real = NamedCondition(name="real", source="none", augment=False)
    table = scores({**GAINS, "real": -0.2})
    found = share_of_ceiling(table, [real, *CONDITIONS], "real", ["oracle"]).set_index("condition")
    expected = share_of_ceiling(table, CONDITIONS, "real_aug", ["oracle"]).set_index("condition")
    columns = ["share", "low", "high", "ceiling", "ceiling_low", "ceiling_high"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    assert (found["gain"] > expected["gain"] + 0.15).all(), "the gain over the baseline holds it"


def test_a_share_needs_a_ceiling_and_real_wafers_augmented_alike():
    plain = NamedCondition(name="gan_plain", source="gan", augment=False)
    table = scores({**GAINS, "gan_plain": 0.03})
    row = share_of_ceiling(table, [*CONDITIONS, plain], "real_aug", ["oracle"]).set_index("condition").loc["gan_plain"]
    assert row["verdict"] == UNLIKE and math.isnan(row["share"]) and not math.isnan(row["gain"])


def test_what_is_not_determined_is_said():
    weak = share_of_ceiling(scores({**GAINS, "oracle": 0.0}, 0.05), CONDITIONS, "real_aug", ["oracle"])
    row = weak.set_index("condition").loc["gan"]
    assert row["verdict"] == UNDETERMINED and math.isnan(row["share"]) and not math.isnan(row["ceiling"])
    one = share_of_ceiling(scores(folds=1), CONDITIONS, "real_aug", ["oracle"]).set_index("condition").loc["gan"]
    assert one["verdict"] == UNDETERMINED and math.isnan(one["gain_low"]) and not math.isnan(one["gain"])
    none = share_of_ceiling(scores(), CONDITIONS, "real_aug", []).set_index("condition").loc["gan"]
    assert none["verdict"] == ABSENT and math.isnan(none["ceiling"]) and none["over_reference"] > 0


def test_without_repeated_wafers_or_a_baseline():
    gains = {name: gain for name, gain in GAINS.items() if name != "oversample"}
    row = share_of_ceiling(scores(gains), CONDITIONS, "real_aug", ["oracle"]).set_index("condition").loc["gan"]
    assert row["reference"] == "" and math.isnan(row["over_reference"]) and row["share"] > 0
    assert share_of_ceiling(scores(gains), CONDITIONS, "real", ["oracle"]).empty
    assert share_of_ceiling(scores().iloc[:0], CONDITIONS, "real_aug", ["oracle"]).empty
