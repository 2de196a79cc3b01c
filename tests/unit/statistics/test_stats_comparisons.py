"""The corrected t-test, the standardised effect and the table of comparisons."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.statistics.comparisons import (
    comparable,
    compare_conditions,
    corrected_t_test,
    pair_cells,
    power_effect,
    standardised_effect,
)
from waferbench.statistics.comparisons import test_train_ratio as ratio_of


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
    values = np.random.default_rng(0).normal(0.3, 1, 10)
    ours, theirs = corrected_t_test(values, 0.0), stats.ttest_1samp(values, 0)
    assert ours["t"] == pytest.approx(theirs.statistic) and ours["p_value"] == pytest.approx(theirs.pvalue)
    assert corrected_t_test(values, 1 / 3)["p_value"] > ours["p_value"]


def test_one_fold_and_no_spread():
    one = corrected_t_test([0.25], 0.3)
    assert one["mean_difference"] == 0.25 and math.isnan(one["p_value"]) and math.isnan(one["ci_low"])
    assert corrected_t_test([0.0, 0.0], 0.3)["p_value"] == 1
    alike = corrected_t_test([0.5, 0.5], 0.3)  # two folds that agree do not prove a difference
    assert alike["mean_difference"] == 0.5 and alike["std_difference"] == 0
    assert all(math.isnan(alike[name]) for name in ("t", "p_value", "ci_low", "ci_high"))
    rounded = corrected_t_test([0.1 + 0.2 - 0.3, 0.0, 0.0], 0.3)  # 5e-17 is no difference
    assert rounded["p_value"] == 1 and rounded["mean_difference"] == 0


def test_effect_by_hand():
    # d = 1, 2, 3: mean / s = 2; the correction at 2 df is Gamma(1) / Gamma(1/2) = 1 / sqrt(pi).
    effect = standardised_effect([1, 2, 3], 1 / 3)
    assert effect["effect"] == pytest.approx(2 / math.sqrt(math.pi))
    unit, t = math.sqrt(2 / 3) / math.sqrt(math.pi), math.sqrt(6)
    assert stats.nct.sf(t, 2, effect["effect_low"] / unit) == pytest.approx(0.025, abs=1e-6)
    assert stats.nct.cdf(t, 2, effect["effect_high"] / unit) == pytest.approx(0.025, abs=1e-6)


def test_effect_leaves_out_zero_where_the_test_is_significant():
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(40):
        values = rng.normal(1.5, 1, 5)
        effect, p_value = standardised_effect(values, 0.3), corrected_t_test(values, 0.3)["p_value"]
        assert effect["effect_low"] < effect["effect"] < effect["effect_high"]
        assert (effect["effect_low"] > 0) == (p_value < 0.05)
        seen.add(p_value < 0.05)
    assert seen == {True, False}


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.3], [0.2, 0.2, 0.2]])
def test_no_effect_without_three_folds_that_differ(values):
    assert all(math.isnan(value) for value in standardised_effect(values, 0.3).values())


def scores(folds, seeds=(1,)):
    rows = []
    for condition, gain in {"real": 0.0, "real_aug": 0.02, "gan": 0.05}.items():
        for fold, seed in itertools.product(folds, seeds):
            names = {"protocol": "cv5", "seed": seed, "replicate": 0, "backbone": "net", "head": "softmax"}
            f1 = 0.8 + gain * (1 + fold) * seed + 0.01 * fold
            sizes = {"n_train_real": 30, "n_train_synthetic": 5, "n_test": 10}
            rows.append({**names, "condition": condition, "fold": fold, "macro_f1": f1, "accuracy": f1, **sizes})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_pairs_against_real_and_baseline():
    table = compare_conditions(scores([0, 1, 2]), "real_aug", 0.9)
    assert tuple(table) == TABLES["comparisons"]
    table = table[table["metric"] == "macro_f1"].set_index(["condition", "reference"])
    assert set(table.index) == {("real_aug", "real"), ("gan", "real"), ("real", "real_aug"), ("gan", "real_aug")}
    row = table.loc[("gan", "real_aug")]
    assert row["mean_difference"] == pytest.approx(0.06) and row["n_folds"] == 3 and row["confidence"] == 0.9
    expected = corrected_t_test([0.03, 0.06, 0.09], 10 / 30, 0.9)
    assert row["p_value"] == pytest.approx(expected["p_value"]) and row["ci_low"] == pytest.approx(expected["ci_low"])


def test_the_correction_is_the_protocols_whatever_a_cap_leaves():
    table = scores([0, 1, 2])
    whole, capped = (compare_conditions(t, "real_aug") for t in (table, table.assign(n_train_real=11)))
    pd.testing.assert_frame_equal(whole, capped)
    shares = {"cv3": 1, "cv5": 1 / 3, "lot_cv10": 1 / 8, "replicates4": 0, "holdout_80_10_10": 1 / 8}
    assert {name: ratio_of(name) for name in shares} == pytest.approx(shares)
    assert ratio_of("nine_class_70_30") == pytest.approx(0.3 / 0.6)


def test_one_fold_is_said(capsys):
    table = compare_conditions(scores([0]), "real_aug")
    assert table["p_value"].isna().all() and "one fold" in capsys.readouterr().err


def test_missing_baseline_is_said(capsys):
    table = compare_conditions(scores([0, 1]), "lora")
    assert set(table["reference"]) == {"real"} and "'lora'" in capsys.readouterr().err


def test_seeds_of_a_fold_are_averaged_and_are_no_folds():
    table = compare_conditions(scores([0, 1, 2], seeds=[1, 3]), "real")
    row = table.set_index(["condition", "metric"]).loc[("gan", "macro_f1")]
    assert row["n_folds"] == 3 and row["n_seeds"] == 2 and row["df"] == 2
    expected = corrected_t_test([0.1, 0.2, 0.3], 10 / 30)
    assert row["p_value"] == pytest.approx(expected["p_value"])
    assert row["mean_difference"] == pytest.approx(0.2) and row["mean_reference"] == pytest.approx(0.81)


def test_replicates_get_the_plain_paired_test():
    folds = scores([0, 1, 2, 3], seeds=[1, 3])
    replicates = folds.assign(protocol="replicates4", replicate=folds["fold"])
    row = compare_conditions(replicates, "real").set_index(["condition", "metric"]).loc[("gan", "macro_f1")]
    plain = stats.ttest_1samp([0.1, 0.2, 0.3, 0.4], 0)
    assert row["p_value"] == pytest.approx(plain.pvalue) and row["t"] == pytest.approx(plain.statistic)
    assert row["n_folds"] == 4 and row["n_seeds"] == 2
    corrected = compare_conditions(folds, "real").set_index(["condition", "metric"]).loc[("gan", "macro_f1")]
    assert corrected["p_value"] > row["p_value"] and corrected["mean_difference"] == row["mean_difference"]


def test_the_smallest_effect_is_found_four_times_in_five():
    rng = np.random.default_rng(0)
    for count, ratio in ((4, 0.0), (5, 1 / 3)):
        unit = np.linspace(-1, 1, count) / np.linspace(-1, 1, count).std(ddof=1)
        least = power_effect(unit, ratio)
        drawn = least + rng.normal(0, 1, (20000, count)) * math.sqrt(1 + ratio * count)  # whose mean varies as assumed
        error = math.sqrt(1 / count + ratio) * drawn.std(1, ddof=1) / math.sqrt(1 + ratio * count)
        found = np.abs(drawn.mean(1) / error) > stats.t.ppf(0.975, count - 1)
        assert found.mean() == pytest.approx(0.8, abs=0.01)
        assert power_effect(3 * unit + 7, ratio) == pytest.approx(3 * least), "what was seen does not matter"
    assert all(math.isnan(power_effect(values, 0.3)) for values in ([], [0.1], [0.2, 0.2, 0.2]))


def test_a_study_without_the_condition_real_compares_with_what_it_has(capsys):
    table = scores([0, 1, 2])
    table = table[table["condition"] != "real"].replace({"condition": {"gan": "oversample"}})
    found = compare_conditions(table, "real_aug", references=["oversample"])
    assert set(zip(found["condition"], found["reference"], strict=True)) == {
        ("oversample", "real_aug"),
        ("real_aug", "oversample"),
    }
    assert capsys.readouterr().err == "" and found["power_effect"].gt(0).all()


def test_only_shared_cells_are_compared():
    table = scores([0, 1], seeds=[1, 2])
    gan, real = (table[table["condition"] == name] for name in ("gan", "real"))
    pair = pair_cells(gan[(gan["fold"] == 1) & (gan["seed"] == 2)], real, "macro_f1")
    assert pair.differences == pytest.approx([0.2]) and pair.n_seeds == 1
    assert pair_cells(gan[gan["fold"] == 0], real[real["fold"] == 1], "macro_f1") is None


def test_holm_among_comparisons_of_one_kind():
    table = compare_conditions(scores([0, 1, 2]).sample(frac=1, random_state=1), "real")
    family = table[table["metric"] == "macro_f1"].sort_values("p_value")
    least, most = family["p_value"]
    # two comparisons: the smaller p counts twice, the larger at least as much as that
    assert family["p_holm"].tolist() == pytest.approx([min(1, 2 * least), max(min(1, 2 * least), most)])
    assert compare_conditions(scores([0]), "real")["p_holm"].isna().all()


def test_folds_without_spread_count_as_no_comparison():
    table = scores([0, 1, 2])
    table.loc[table["condition"] == "gan", "macro_f1"] = 0.9 + 0.01 * table["fold"]
    table.loc[table["condition"] == "real", "macro_f1"] = 0.8 + 0.01 * table["fold"]
    found = compare_conditions(table, "real").set_index(["condition", "metric"])
    assert math.isnan(found.loc[("gan", "macro_f1"), "p_value"]) and math.isnan(
        found.loc[("gan", "macro_f1"), "p_holm"]
    )
    other = found.loc[("real_aug", "macro_f1")]
    assert other["p_holm"] == other["p_value"], "one known p-value needs no correction"


def test_leaky_protocols_are_left_out_of_comparisons(capsys):
    both = pd.concat([scores([0, 1]), scores([0]).assign(protocol="leaky_80_20")])
    kept = comparable(both, ["leaky_80_20"])
    pd.testing.assert_frame_equal(kept, both[both["protocol"] == "cv5"])
    assert "leaky_80_20: conditions are tested on different wafers" in capsys.readouterr().err
    assert compare_conditions(kept.iloc[:0], "real").empty and capsys.readouterr().err == ""
    assert comparable(both, []).equals(both)


def centroid_study(rng, reserve=0.0, cap=0, n=100, dims=20):
    """Differences over five folds of two nearest-centroid learners of equal worth, one a half of the features."""
    y, fold, order = np.repeat([0, 1], n // 2), rng.permutation(np.arange(n) % 5), rng.permutation(n)
    x = rng.normal(0, 1, (n, 2 * dims)) + (y / math.sqrt(dims))[:, None]
    differences = []
    for k in range(5):
        train = (fold != k) & (fold != (k + 1) % 5) & (rng.random(n) >= reserve)
        for label in (0, 1) if cap else ():
            mine = np.flatnonzero(train & (y == label))
            train[mine[np.argsort(order[mine])[cap:]]] = False
        right = []
        for part in (x[:, :dims], x[:, dims:]):
            near = [((part - part[train & (y == label)].mean(0)) ** 2).sum(1) for label in (0, 1)]
            right.append(((near[1] < near[0]) == y)[fold == k].mean())
        differences.append(right[0] - right[1])
    return differences


@pytest.mark.parametrize("shrunk", [{}, {"reserve": 0.35, "cap": 25}], ids=str)
def test_the_protocols_ratio_holds_the_level_though_training_sets_are_shrunk(shrunk):
    rng, ratio = np.random.default_rng(0), ratio_of("duplicate_cv5")
    studies = [centroid_study(rng, **shrunk) for _ in range(500)]
    wrong, plain = (np.mean([corrected_t_test(d, r)["p_value"] <= 0.05 for d in studies]) for r in (ratio, 0.0))
    assert ratio == pytest.approx(1 / 3) and wrong <= 0.05 < plain


def test_replicates_that_shared_test_wafers_would_see_what_is_not_there():
    rng = np.random.default_rng(0)
    training, wafers = 0.0108, 0.0098  # spreads of a difference in macro-F1, of replicates and of 800 test wafers
    wrong = {}
    for name, draws in (("shared", 1), ("own", 4)):
        studies = rng.normal(0, training, (2000, 4)) + rng.normal(0, wafers, (2000, draws))
        wrong[name] = np.mean([corrected_t_test(d, 0.0)["p_value"] <= 0.05 for d in studies])
    assert wrong["shared"] > 0.15 and wrong["own"] == pytest.approx(0.05, abs=0.015)
