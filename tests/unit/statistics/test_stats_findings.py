"""Findings: the first sentence with and without an oracle, generators and tables beside the scores."""

import math

import numpy as np
import pandas as pd
import pytest

from waferbench.base.tables import TABLES
from waferbench.config.synthesis.settings import NamedCondition
from waferbench.statistics.findings import Evidence, find

CONDITIONS = {
    "real_aug": NamedCondition(name="real_aug", source="none"),
    "oversample": NamedCondition(name="oversample", source="repeat"),
    "oracle": NamedCondition(name="oracle", source="oracle"),
    "gan": NamedCondition(name="gan", source="gan"),
    "die_flow": NamedCondition(name="die_flow", source="die_flow"),
    "die_flow_judged": NamedCondition(name="die_flow_judged", source="die_flow", keep_if_judged=True),
}
OTHERS = (("real", "none"), ("oracle_plain", "oracle"))
LEVEL = {"real_aug": 0.60, "oversample": 0.61, "oracle": 0.65, "gan": 0.63, "die_flow": 0.62, "die_flow_judged": 0.64}
ALL = tuple(LEVEL)


def scores(names, level=LEVEL, noise=0.002, folds=4, backbones=("net",), seed=0, steps=(), added=()):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            **{"protocol": "replicates4", "seed": 1, "replicate": fold, "fold": fold, "backbone": backbone},
            **{
                "condition": name,
                "head": head,
                "steps": dict(steps).get(name, 120),
                "n_added": dict(added).get(name, 0 if name.startswith("real") else 90),
                "macro_f1": level[name] + noise * rng.normal() - 0.1 * (head != "ecoc_svm"),
            },
        }
        for name in names
        for backbone in backbones
        for fold in range(folds)
        for head in ("softmax", "ecoc_svm")
    )


def empty(name):
    return pd.DataFrame(columns=TABLES[name])


def evidence(names=ALL, best="die_flow", **changes):
    validation = {**LEVEL, best: 0.9}
    given = {"scores": scores(names), "validation": scores(names, validation, seed=5)}
    given |= {name: empty(name) for name in ("agreement", "texture", "reconstruction")}
    conditions = [CONDITIONS[name] for name in names]
    return Evidence(**{**given, "conditions": conditions, "baseline": "real_aug", "oracles": ["oracle"], **changes})


def agreement(shares, n=100):
    """shares: source -> class -> share that the judge calls so."""
    return pd.DataFrame(
        {
            **{"protocol": "replicates4", "seed": 1, "replicate": 0, "fold": 0, "source": source, "label": label},
            **{"index": i, "in_pool": i < n, "y_judge": label if i < share * n else "none", "p_intended": 0.5},
        }
        for source, classes in shares.items()
        for label, share in classes.items()
        for i in range(n + 20)  # the last are not in the pool, and wrong
    )


def test_the_whole_story_in_its_order():
    floor = {"center": 0.9, "loc": 0.7}
    texture = empty("texture").assign(
        condition=["die_flow", "die_flow", "gan"], auc=[0.8, 0.9, 0.5], bits=[0.1, 0.3, 0.0]
    )
    rebuilt = {
        "source": ["lora", "lora"],
        "label": ["a", "b"],
        "n": [10, 10],
        "agreement": [0.4, 0.2],
        "agreement_original": [0.6, 0.6],
    }
    table = find(
        evidence(
            agreement=agreement({"real": floor, "die_flow": {"center": 0.6, "loc": 0.6}, "gan": {"center": 0.1}}),
            texture=texture,
            reconstruction=empty("reconstruction").assign(**rebuilt),
        )
    )
    assert tuple(table) == TABLES["findings"]
    order = ["headline", "ceiling", "best_generator", "share", "agreement", "judging", "power", "texture"]
    assert table["finding"].tolist() == [*order, "reconstruction"]
    rows = table.set_index("finding")
    first = rows.loc["headline", "text"]
    assert first.startswith("Perfect synthesis adds 5.") and "the best generator (die_flow) reaches" in first
    assert first.endswith("about 25% of its labels are wrong, above all of center.") and "% of that (" in first
    assert "% of that (" in first and "and adds 1." in first and "points over oversample (" in first
    assert rows.loc["headline", "value"] == pytest.approx(0.05, abs=0.005)
    assert rows.loc["ceiling", "value"] == pytest.approx(0.04, abs=0.005), "over repeated wafers"
    assert "over oversample" in rows.loc["ceiling", "text"] and "over real_aug" not in rows.loc["ceiling", "text"]
    assert rows.loc["share", "value"] == pytest.approx(0.4, abs=0.1)
    assert rows.loc["share", "low"] < rows.loc["share", "value"] < rows.loc["share", "high"]
    assert "and oversample without a synthetic wafer" in rows.loc["share", "text"]
    assert rows.loc["best_generator", "value"] == pytest.approx(0.02, abs=0.005), "over real wafers"
    assert "over real_aug" in rows.loc["best_generator", "text"]
    assert "oversample, which repeats" in rows.loc["best_generator", "text"]
    assert "between die_flow and oversample" in rows.loc["power", "text"]
    wrong = rows.loc["agreement"]
    assert wrong["value"] == pytest.approx((0.3 + 0.1) / 1.6) and math.isnan(wrong["low"])
    assert "furthest short is center: 60% against 90%" in wrong["text"]
    assert wrong["n"] == 200 and "60%" in wrong["text"] and "80%" in wrong["text"]
    assert rows.loc["judging", "subject"] == "die_flow_judged" and rows.loc["judging", "value"] == pytest.approx(
        0.02, abs=0.005
    )
    assert 0 < rows.loc["power", "value"] < 0.02 and "four times in five" in rows.loc["power", "text"]
    assert rows.loc["texture", "value"] == pytest.approx(0.85) and "0.20 bits" in rows.loc["texture", "text"]
    assert rows.loc["reconstruction", "value"] == pytest.approx(0.5)
    assert table["text"].str.endswith(".").all() and not table["text"].str.contains("nan").any()


def test_the_best_generator_is_chosen_on_validation_and_by_the_first_head():
    chosen = find(evidence(best="gan")).set_index("finding").loc["best_generator", "subject"]
    assert chosen == "gan"
    given = evidence(best="die_flow_judged")
    assert find(given).set_index("finding").loc["best_generator", "subject"] == "gan", "judging is no generator"
    worse = given.validation.assign(macro_f1=lambda t: t["macro_f1"].where(t["head"] == "ecoc_svm", 1.0))
    worse.loc[(worse["condition"] == "die_flow") & (worse["head"] == "ecoc_svm"), "macro_f1"] = 0.1
    found = find(evidence(validation=worse)).set_index("finding")
    assert found.loc["best_generator", "subject"] == "gan"


def test_rebalancing_is_told_apart_from_synthesis():
    table = find(evidence(scores=scores(ALL, {**LEVEL, "oracle": 0.63, "oversample": 0.62}))).set_index("finding")
    first = table.loc["headline", "text"]
    assert "reaches 6" in first and "points over oversample (" in first and "may be chance)" in first
    assert table.loc["headline", "text"] != table.loc["ceiling", "text"]
    worse = find(evidence(scores=scores(ALL, {**LEVEL, "die_flow": 0.59, "oracle": 0.62}))).set_index("finding")
    assert "reaches none of that (" in worse.loc["headline", "text"] and "and loses" in worse.loc["headline", "text"]


def test_a_share_that_may_be_none_says_so():
    level = {**LEVEL, "die_flow": 0.605}
    text = find(evidence(scores=scores(ALL, level, noise=0.01))).set_index("finding").loc["headline", "text"]
    assert "reaches an unknown share of that (" in text and "%) and adds" in text, text


def test_an_oracle_is_no_generator():
    table = find(evidence(best="oracle")).set_index("finding")
    assert table.loc["best_generator", "subject"] == "gan"
    table = find(evidence(("real_aug", "oversample", "oracle"), best="oracle")).set_index("finding")
    assert not {"best_generator", "share"} & set(table.index) and table.loc["headline", "subject"] == "oracle"
    assert "between oracle and real_aug" in table.loc["power", "text"]


def test_augmentation_is_no_part_of_the_ceiling():
    real = NamedCondition(name="real", source="none", augment=False)
    given = scores(("real", *ALL), {**LEVEL, "real": 0.5})
    conditions = [real, *CONDITIONS.values()]
    table = find(evidence(scores=given, conditions=conditions, baseline="real")).set_index("finding")
    assert table.loc["headline", "text"].startswith("Perfect synthesis adds 5.")
    assert table.loc["share", "value"] == pytest.approx(0.4, abs=0.1)


def test_a_ceiling_augmented_otherwise_gives_no_share():
    plain = [NamedCondition(name=name, source=source, augment=False) for name, source in OTHERS]
    given = scores((*ALL, "real", "oracle_plain"), {**LEVEL, "real": 0.5, "oracle_plain": 0.7})
    conditions = [c for c in [*CONDITIONS.values(), *plain] if c.name != "oracle"]
    table = find(evidence(scores=given, conditions=conditions)).set_index("finding")
    assert "no ceiling of the same augmentation" in table.loc["share", "text"] and math.isnan(
        table.loc["share", "value"]
    )
    both = find(evidence(scores=given, conditions=[*plain, *CONDITIONS.values()])).set_index("finding")
    assert both.loc["headline", "subject"] == "oracle" and not math.isnan(both.loc["share", "value"])


def test_equal_scores_are_said_to_be_equal():
    table = find(evidence(scores=scores(ALL, {**LEVEL, "die_flow": 0.61}, noise=0))).set_index("finding")
    assert "adds nothing over oversample (the same score in every fold)" in table.loc["headline", "text"]
    assert "between die_flow and oversample is the same in every fold" in table.loc["power", "text"]
    assert not table["text"].str.contains("0.0 to 0.0").any() and not table["text"].str.contains("-0.0").any()
    tiny = find(evidence(scores=scores(ALL, noise=1e-5))).set_index("finding")
    assert "difference of less than 0.1 points" in tiny.loc["power", "text"]


def test_a_ceiling_that_may_be_nothing_gives_no_share():
    flat = evidence(scores=scores(ALL, {**LEVEL, "oracle": 0.6}, noise=0.02))
    rows = find(flat).set_index("finding")
    assert "may be chance" in rows.loc["headline", "text"] and "of that" not in rows.loc["headline", "text"]
    assert math.isnan(rows.loc["share", "value"]) and "not determined" in rows.loc["share", "text"]


def test_a_class_that_beats_its_floor_does_not_pay_for_one_that_fails():
    mine = {"real": {"a": 0.6, "b": 0.6}, "die_flow": {"a": 1.0, "b": 0.1}}
    row = find(evidence(agreement=agreement(mine))).set_index("finding").loc["agreement"]
    assert row["value"] == pytest.approx(0.5 / 1.2) and "42% of its labels are wrong, above all of b" in row["text"]


def test_wrong_labels_are_held_against_those_of_further_real_wafers():
    mine = {"real": {"a": 0.6, "b": 0.6}, "oracle": {"a": 0.7, "b": 0.5}}
    for share, said in ((0.55, "as right as real ones"), (0.3, "further real wafers, counted alike), above all of a")):
        given = agreement({**mine, "die_flow": {"a": share, "b": 0.6}})
        rows = find(evidence(agreement=given)).set_index("finding")
        assert said in rows.loc["headline", "text"] and "8% of further real wafers" in rows.loc["agreement", "text"]


def test_generators_that_validation_does_not_tell_apart_are_called_a_tie():
    near = {**LEVEL, "die_flow": 0.63}
    tied = find(evidence(validation=scores(ALL, near, noise=0.02, seed=7)))["text"].iloc[0]
    clear = find(evidence(validation=scores(ALL, {**near, "die_flow": 0.9}, seed=4)))["text"].iloc[0]
    assert "on validation wafers not told from" in tied and "not told" not in clear
    alone = find(evidence(validation=scores(ALL, {**near, "die_flow": 0.9}, folds=1)))["text"].iloc[0]
    assert "not told from gan" in alone, "one fold says nothing of its own noise"


def test_labels_without_a_floor_and_labels_that_are_right():
    without = find(evidence(agreement=agreement({"die_flow": {"center": 0.75}}))).set_index("finding")
    assert (
        without.loc["agreement", "value"] == pytest.approx(0.25) and "at most 25%" in without.loc["agreement", "text"]
    )
    right = find(evidence(agreement=agreement({"die_flow": {"a": 0.9}, "real": {"a": 0.8}}))).set_index("finding")
    assert right.loc["agreement", "value"] == 0 and "as right as real ones" in right.loc["headline", "text"]


@pytest.mark.parametrize(
    "names, start",
    [
        (("real_aug", "oversample", "gan"), "The best generator (gan) adds 2.2 points over oversample (2."),
        (("real_aug", "oracle", "gan"), "Perfect synthesis adds"),
        (("real_aug", "gan"), "The best generator (gan) adds 2.8 points over real_aug (2."),
        (("real_aug", "oversample", "oracle"), "Perfect synthesis adds"),
        (("real_aug", "oversample"), "No generator was tried: repeating real wafers adds"),
        (("real_aug",), "Nothing is compared: real_aug reaches a macro-F1 of 0.6"),
    ],
    ids=str,
)
def test_the_first_sentence_of_smaller_studies(names, start):
    table = find(evidence(names))
    assert table["finding"].iloc[0] == "headline" and table["text"].iloc[0].startswith(start), table["text"].iloc[0]
    assert table["finding"].is_unique and not math.isnan(table["value"].iloc[0])


def test_one_fold_has_no_interval_and_no_power():
    table = find(evidence(scores=scores(ALL, folds=1))).set_index("finding")
    assert "(no interval)" in table.loc["headline", "text"] and math.isnan(table.loc["headline", "low"])
    assert "One fold was run" in table.loc["power", "text"]


def test_backbones_are_averaged_before_folds_are_compared():
    two = find(evidence(scores=scores(ALL, backbones=("a", "b")))).set_index("finding")
    assert two.loc["headline", "n"] == 4 and two.loc["headline", "value"] == pytest.approx(0.05, abs=0.003)


def test_a_study_of_leaky_protocols_alone_compares_nothing():
    table = find(evidence(scores=scores(ALL).iloc[:0]))
    assert len(table) == 1 and "nothing is compared" in table["text"].iloc[0]


def test_a_gain_over_real_wafers_augmented_otherwise_says_so():
    plain = {"real": NamedCondition(name="real", source="none", augment=False), "gan": CONDITIONS["gan"]}
    level = {"real": 0.5, "gan": 0.6}
    given = {name: scores(level, level) for name in ("scores", "validation")}
    table = find(evidence(**given, conditions=list(plain.values()), baseline="real")).set_index("finding")
    assert "; they are augmented differently as well)" in table.loc["headline", "text"]


@pytest.mark.parametrize(
    ("unlike", "said"),
    [
        ({"steps": {"gan": 150}.items()}, "optimiser steps (120 to 150)"),
        ({"added": {"gan": 60}.items()}, "wafers (60 to 90)"),
    ],
)
def test_conditions_that_differ_in_steps_or_counts_say_so_in_the_first_sentence(unlike, said):
    table = find(evidence(scores=scores(ALL, **unlike))).set_index("finding")
    assert said in table.loc["headline", "text"]
    assert said.split("(")[0] not in find(evidence())["text"].iloc[0]


def test_an_autoencoder_that_loses_nothing_is_said_to():
    given = {"source": ["lora"], "label": ["a"], "n": [10], "agreement": [0.6], "agreement_original": [0.6]}
    rows = find(evidence(reconstruction=empty("reconstruction").assign(**given))).set_index("finding")
    assert rows.loc["reconstruction", "text"].endswith("in 60% of cases, as often as before.")
