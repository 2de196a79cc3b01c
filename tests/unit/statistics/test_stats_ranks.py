"""Ranks of conditions over backbones."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.statistics.blocks import Blocks
from waferbench.statistics.ranks import critical_difference, enough, friedman, iman_davenport, permuted, rank_conditions
from waferbench.statistics.verdicts import too_few


def scores(values, seeds=(1,), folds=(0, 1)):
    """values: backbone -> condition -> macro-F1, spread over folds."""
    return pd.DataFrame(
        {
            **{"protocol": "cv5", "head": "softmax", "seed": seed, "replicate": 0, "fold": fold, "backbone": backbone},
            **{"condition": condition, "macro_f1": value + 0.001 * fold - 0.002 * seed},
        }
        for backbone, row in values.items()
        for condition, value in row.items()
        for fold in folds
        for seed in seeds
    )


def ordered(n, k=3):
    return {f"net{i}": {f"c{j}": 0.9 - 0.1 * j + 0.01 * i for j in range(k)} for i in range(n)}


def test_perfect_agreement_by_hand():
    ranks, pairs = rank_conditions(scores(ordered(5), seeds=(1, 2)))
    assert tuple(ranks) == TABLES["ranks"] and tuple(pairs) == TABLES["rank_pairs"]
    assert ranks["condition"].tolist() == ["c0", "c1", "c2"] and ranks["mean_rank"].tolist() == [1, 2, 3]
    # Friedman's statistic of N alike orders of k is N (k - 1); that four orders agree with the first: (1 / 3!)^4.
    assert ranks["statistic"][0] == pytest.approx(10) and ranks["p_value"][0] == pytest.approx(6**-4)
    assert (ranks["n_backbones"] == 5).all() and (ranks["n_blocks"] == 2).all()
    # Two folds agree in their order of three by chance once in 3!, so that a lucky draw cannot be told.
    assert ranks["verdict"].str.startswith("for these generators alone: 2 folds are too few").all()
    p = pairs.set_index(["condition", "reference"])["p_value"]
    assert len(p) == 3
    q = 2 / math.sqrt(3 * 4 / (6 * 5)) * math.sqrt(2)
    assert p[("c2", "c0")] == pytest.approx(stats.studentized_range.sf(q, 3, np.inf), abs=1e-4)
    assert p[("c2", "c0")] < 0.05 < p[("c1", "c0")]


def test_enough_folds_exchange_the_conditions_within_each():
    ranks, pairs = rank_conditions(scores(ordered(5), folds=(0, 1, 2)))
    assert (ranks["verdict"] == "").all() and ranks["mean_rank"].tolist() == [1, 2, 3]
    assert ranks["statistic"][0] == pytest.approx(10) and (ranks["n_blocks"] == 3).all()
    assert ranks["p_value"][0] == pytest.approx(1 / 36, abs=0.006), "that all three folds agree"
    p = pairs.set_index(["condition", "reference"])["p_value"]
    assert p[("c2", "c0")] == pytest.approx(1 / 36, abs=0.006) and p[("c1", "c0")] > 0.5
    assert ranks["critical_difference"][0] == pytest.approx(2)
    assert enough(3, 3, 0.95) and not enough(2, 3, 0.95) and enough(2, 4, 0.95) and not enough(1, 7, 0.95)


def test_seeds_of_one_fold_share_its_wafers_and_are_one_block():
    ranks, _ = rank_conditions(scores(ordered(5), seeds=(1, 2, 3), folds=(0,)))
    assert (ranks["n_blocks"] == 1).all() and ranks["verdict"].str.startswith("for these generators alone").all()


def test_a_draw_that_all_backbones_share_is_no_effect():
    rng = np.random.default_rng(0)
    plain = shared = 0
    for _ in range(120):
        values = rng.normal(0, 1, (4, 6, 5)) + rng.normal(0, 1, (4, 1, 5)) + rng.normal(0, 3, (1, 6, 1))
        blocks = Blocks("cv5", "softmax", values, [f"n{i}" for i in range(6)], list("abcde"))
        shared += permuted(blocks)[0] <= 0.05
        plain += iman_davenport(friedman(values.mean(0, keepdims=True)), 5, 6) <= 0.05
    assert shared <= 13 and plain >= 60, (shared, plain)
    found = permuted(Blocks("cv5", "softmax", values + 2 * np.arange(5), blocks.backbones, blocks.conditions))
    assert found[0] < 0.01 and found[1] < 4, "an effect is seen"


def test_friedman_is_scipys():
    values = np.random.default_rng(0).normal(size=(1, 7, 4)).round(1)
    assert friedman(values) == pytest.approx(stats.friedmanchisquare(*values[0].T).statistic)
    assert friedman(np.ones((1, 5, 3))) == 0


def test_critical_difference_of_the_literature():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)  # Demsar 2006, section 3.2.2
    assert critical_difference(5, 30) == pytest.approx(2.728 * math.sqrt(5 * 6 / (6 * 30)), abs=0.001)  # his table 5


def test_p_by_iman_and_davenport():
    # Demsar 2006, section 3.2.2: four classifiers on 14 data sets, chi-squared 9.28, F = 3.69.
    f = 13 * 9.28 / (14 * 3 - 9.28)
    assert f == pytest.approx(3.69, abs=0.005)
    p_value = iman_davenport(9.28, 4, 14)
    assert p_value == pytest.approx(stats.f.sf(f, 3, 39)) and p_value < stats.chi2.sf(9.28, 3)
    assert math.isnan(iman_davenport(math.nan, 4, 14))
    table = scores({f"net{i}": {f"c{(i + j) % 3}": 0.9 - 0.1 * j for j in range(3)} for i in range(6)})
    assert rank_conditions(table)[0]["p_value"].tolist() == [1, 1, 1], "each condition ranks first as often"


def test_no_scores_no_ranks():
    ranks, pairs = rank_conditions(scores(ordered(5)).iloc[:0])
    assert ranks.empty and pairs.empty


def test_equal_scores_share_a_rank():
    values = {f"net{i}": {"a": 0.8, "b": 0.8, "c": 0.7} for i in range(5)}
    ranks, _ = rank_conditions(scores(values))
    assert ranks.set_index("condition")["mean_rank"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3}


@pytest.mark.parametrize(
    "n, k, verdict",
    [
        (2, 3, "2 backbones are too few: five are needed"),
        (1, 3, "1 backbone is too few: five are needed"),
        (6, 2, "2 conditions are too few: three are needed"),
    ],
)
def test_too_few_is_said(n, k, verdict):
    ranks, pairs = rank_conditions(scores(ordered(n, k)))
    assert set(ranks["verdict"]) == {verdict} and pairs.empty
    assert ranks["p_value"].isna().all() and ranks["critical_difference"].isna().all()
    assert ranks["mean_rank"].tolist() == list(range(1, k + 1))
    assert too_few(5, "backbone") == ""


def test_a_backbone_without_every_condition_is_left_out(capsys):
    values = ordered(6)
    del values["net2"]["c1"]
    ranks, _ = rank_conditions(scores(values))
    assert (ranks["n_backbones"] == 5).all() and "net2" in capsys.readouterr().err
