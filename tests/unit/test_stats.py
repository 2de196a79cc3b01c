"""The corrected t-test and the table of comparisons."""

import math

import numpy as np
import pandas as pd
import pytest

from waferbench.stats import compare_conditions, corrected_t_test


def test_by_hand():
    # d = 1, 2, 3: mean 2, s = 1; J = 3, ratio 1/3: error = sqrt(1/3 + 1/3) = 0.81650, t = 2.44949, df 2.
    result = corrected_t_test([1, 2, 3], 1 / 3)
    assert result["mean_difference"] == 2 and result["std_difference"] == 1 and result["df"] == 2
    assert result["t"] == pytest.approx(2.449490, abs=1e-6)
    # For df = 2: p = 1 - t / sqrt(t^2 + 2) = 1 - sqrt(6 / 8).
    assert result["p_value"] == pytest.approx(1 - math.sqrt(6 / 8), abs=1e-12)
    # The 97.5% point of t with 2 df: 0.95 sqrt(2 / (1 - 0.95^2)) = 4.302653.
    reach = 0.95 * math.sqrt(2 / (1 - 0.95**2)) * math.sqrt(2 / 3)
    assert result["ci_low"] == pytest.approx(2 - reach) and result["ci_high"] == pytest.approx(2 + reach)


def test_without_correction_it_is_the_paired_t_test():
    from scipy.stats import ttest_1samp

    values = np.random.default_rng(0).normal(0.3, 1, 10)
    ours, theirs = corrected_t_test(values, 0.0), ttest_1samp(values, 0)
    assert ours["t"] == pytest.approx(theirs.statistic) and ours["p_value"] == pytest.approx(theirs.pvalue)
    assert corrected_t_test(values, 1 / 3)["p_value"] > ours["p_value"]


def test_one_fold_and_no_spread():
    one = corrected_t_test([0.25], 0.3)
    assert one["mean_difference"] == 0.25 and math.isnan(one["p_value"]) and math.isnan(one["ci_low"])
    assert corrected_t_test([0.0, 0.0], 0.3)["p_value"] == 1
    assert corrected_t_test([0.5, 0.5], 0.3)["p_value"] == 0


def scores(folds):
    rows = []
    for condition, gain in {"real": 0.0, "real_aug": 0.02, "gan": 0.05}.items():
        for fold in folds:
            names = {"protocol": "cv5", "seed": 1, "backbone": "net", "head": "softmax", "condition": condition}
            f1 = 0.8 + gain * (1 + fold) + 0.01 * fold
            sizes = {"n_train_real": 30, "n_train_synthetic": 5, "n_test": 10}
            rows.append({**names, "fold": fold, "macro_f1": f1, "accuracy": f1, **sizes})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_pairs_against_real_and_baseline():
    table = compare_conditions(scores([0, 1, 2]), "real_aug", 0.9)
    table = table[table["metric"] == "macro_f1"].set_index(["condition", "reference"])
    assert set(table.index) == {("real_aug", "real"), ("gan", "real"), ("real", "real_aug"), ("gan", "real_aug")}
    row = table.loc[("gan", "real_aug")]
    assert row["mean_difference"] == pytest.approx(0.06) and row["n_folds"] == 3 and row["confidence"] == 0.9
    expected = corrected_t_test([0.03, 0.06, 0.09], 10 / 30, 0.9)
    assert row["p_value"] == pytest.approx(expected["p_value"]) and row["ci_low"] == pytest.approx(expected["ci_low"])


def test_one_fold_is_said(capsys):
    table = compare_conditions(scores([0]), "real_aug")
    assert table["p_value"].isna().all() and "one fold" in capsys.readouterr().err


def test_missing_baseline_is_said(capsys):
    table = compare_conditions(scores([0, 1]), "lora")
    assert set(table["reference"]) == {"real"} and "'lora'" in capsys.readouterr().err
