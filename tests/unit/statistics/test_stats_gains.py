"""Gains by head, by step and by backbone."""

import math

import numpy as np
import pandas as pd
import pytest

from waferbench.base.tables import TABLES
from waferbench.config.synthesis.settings import NamedCondition
from waferbench.statistics.comparisons import corrected_t_test
from waferbench.statistics.gains import compare_heads, decompose, saturation, steps

CONDITIONS = [
    NamedCondition(name="real", source="none", augment=False),
    NamedCondition(name="real_aug", source="none"),
    NamedCondition(name="oversample", source="repeat"),
    NamedCondition(name="gan", source="gan"),
    NamedCondition(name="lora", source="lora"),
]
JUDGED = NamedCondition(name="gan_judged", source="gan", keep_if_judged=True)
LEVEL = {"real": 0.70, "real_aug": 0.74, "oversample": 0.75, "gan": 0.79, "lora": 0.73}


def scores(level=lambda backbone, condition: LEVEL[condition], backbones=("net",), folds=(0, 1, 2)):
    rng = np.random.default_rng(0)
    rows = []
    for backbone in backbones:
        for condition in LEVEL:
            for fold in folds:
                for head, more in {"softmax": 0.0, "ecoc_svm": 0.02}.items():
                    f1 = level(backbone, condition) + more + rng.normal(0, 1e-3)
                    names = {"protocol": "cv5", "seed": 1, "replicate": 0, "fold": fold, "backbone": backbone}
                    names |= {"condition": condition, "head": head}
                    rows.append({**names, "macro_f1": f1, "n_train_real": 30, "n_test": 10})
    return pd.DataFrame(rows)


def test_heads_are_paired_by_fold():
    table = scores()
    rows = compare_heads(table, 0.9)
    assert tuple(rows) == TABLES["heads"]
    assert rows["condition"].tolist() == sorted(LEVEL) and (rows["confidence"] == 0.9).all()
    part = table[table["condition"] == "gan"].pivot(index="fold", columns="head", values="macro_f1")
    expected = corrected_t_test(part["ecoc_svm"] - part["softmax"], 1 / 3, 0.9)
    row = rows.set_index("condition").loc["gan"]
    assert row["difference"] == pytest.approx(expected["mean_difference"]) and row["n_folds"] == 3
    assert (row["low"], row["high"]) == pytest.approx((expected["ci_low"], expected["ci_high"]))
    assert compare_heads(table[table["head"] == "softmax"]).empty


def test_steps_of_the_default_study():
    assert steps(CONDITIONS) == [
        ("augmentation", "real_aug", "real"),
        ("repetition", "oversample", "real_aug"),
        ("synthesis", "gan", "oversample"),
        ("synthesis", "lora", "oversample"),
    ]


def test_steps_hold_augmentation_fast_and_need_their_reference():
    plain = [*CONDITIONS, NamedCondition(name="gan_plain", source="gan", augment=False)]
    assert not [step for step in steps(plain) if step[1] == "gan_plain"]
    plain.append(NamedCondition(name="oversample_plain", source="repeat", augment=False))
    assert ("synthesis", "gan_plain", "oversample_plain") in steps(plain)
    assert ("repetition", "oversample_plain", "real") in steps(plain)


def test_samples_that_a_judge_confirms_are_a_step_of_their_own():
    assert steps([*CONDITIONS, JUDGED])[-1] == ("judging", "gan_judged", "gan")
    assert ("synthesis", "gan_judged", "oversample") in steps([*CONDITIONS[:3], JUDGED])


def test_steps_add_up_to_the_whole_gain():
    table = scores()
    rows = decompose(table, CONDITIONS)
    assert tuple(rows) == TABLES["decomposition"]
    rows = rows[rows["head"] == "softmax"].set_index("condition")["difference"]
    means = table[table["head"] == "softmax"].groupby("condition")["macro_f1"].mean()
    assert rows[["real_aug", "oversample", "gan"]].sum() == pytest.approx(means["gan"] - means["real"])
    assert rows["lora"] == pytest.approx(means["lora"] - means["oversample"])


def test_one_fold_has_no_interval():
    rows = decompose(scores(folds=[0]), CONDITIONS)
    assert len(rows) == 8 and rows[["low", "high", "p_value"]].isna().all(axis=None)


BACKBONES = [f"net{i}" for i in range(5)]
PARAMETERS = {name: 10 ** (5 + i) for i, name in enumerate(BACKBONES)}


def shrinking(backbone, condition):
    """Each tenfold parameters add 0.05 to every condition and take 0.01 from the gain of the GAN."""
    i = BACKBONES.index(backbone)
    return 0.5 + 0.05 * i + (0.08 - 0.01 * i if condition == "gan" else 0.0)


def test_shrinking_gains_by_hand():
    rows = saturation(scores(shrinking, BACKBONES, range(40)), PARAMETERS, "real_aug")
    assert tuple(rows) == TABLES["saturation"]
    assert set(rows["condition"]) == {"oversample", "gan", "lora"} and (rows["verdict"] == "").all()
    gan = rows[(rows["condition"] == "gan") & (rows["head"] == "softmax")].set_index("against")
    assert gan["rho"].tolist() == pytest.approx([-1, -1])
    # Two of the 5! orders are as extreme: the falling and the rising one.
    assert gan["p_value"].tolist() == pytest.approx([2 / 120, 2 / 120])
    assert gan.loc["parameters", "slope"] == pytest.approx(-0.01, abs=1e-3)
    assert gan.loc["real_score", "slope"] == pytest.approx(-0.2, abs=0.02)
    assert (gan["slope_high"] < 0).all() and (gan["slope_low"] < gan["slope"]).all()


def test_few_backbones_are_said():
    rows = saturation(scores(shrinking, BACKBONES[:2]), PARAMETERS, "real_aug")
    assert set(rows["verdict"]) == {"2 backbones are too few: five are needed"}
    assert rows[["rho", "slope", "p_value"]].isna().all(axis=None) and (rows["n_backbones"] == 2).all()


def test_a_baseline_that_is_the_score_itself_is_said():
    rows = saturation(scores(shrinking, BACKBONES), PARAMETERS, "real").set_index("against")
    assert rows.loc["real_score", "verdict"].str.contains("share").all()
    assert (rows.loc["parameters", "verdict"] == "").all()
    assert not math.isnan(rows["rho"].iloc[0])


def test_without_the_condition_real_the_baseline_is_the_score():
    table = scores(shrinking, BACKBONES)
    rows = saturation(table[table["condition"] != "real"], PARAMETERS, "real_aug").set_index("against")
    assert rows["rho"].notna().all() and rows.loc["real_score", "verdict"].str.contains("share").all()
    assert (rows.loc["parameters", "verdict"] == "").all()


def test_a_missing_baseline_leaves_an_empty_table():
    assert saturation(scores(), PARAMETERS, "die_flow").empty


def test_no_scores_no_tables():
    nothing = scores().iloc[:0]
    tables = (compare_heads(nothing), decompose(nothing, CONDITIONS), saturation(nothing, PARAMETERS, "real_aug"))
    assert all(table.empty for table in tables)
    assert [tuple(table) for table in tables] == [TABLES[name] for name in ("heads", "decomposition", "saturation")]
