"""The chosen model on another labelled set: class names, scores with intervals, and how far the set is from home."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from waferbench.base.errors import InputError
from waferbench.classification.evaluate.classes import map_classes
from waferbench.classification.evaluate.scores import at_home as own_score
from waferbench.classification.evaluate.scores import confusion, score
from waferbench.classification.evaluate.shift import shift, warnings
from waferbench.report.evaluation import write_evaluation

KNOWN = ["Center", "Edge-Ring", "Near-full"]
LABELS = ["center", "edge-ring", "near-full"]


def test_class_names_are_folded_renamed_or_left_out_and_each_is_told():
    found = ["Center", "edge ring", "nearfull", "Blob", "Odd", ""]
    mapped = map_classes(found, KNOWN, {"Odd": "Center", "Blob": ""}, "b.npz")
    assert mapped.to == {
        "Center": "Center", "edge ring": "Edge-Ring", "nearfull": "Near-full", "Blob": "", "Odd": "Center",
    }  # fmt: skip
    assert [sentence.split(":")[0] for sentence in mapped.told] == [
        "'Blob' (1 wafer)", "'Odd' (1 wafer)", "'edge ring' (1 wafer)", "'nearfull' (1 wafer)",
    ]  # fmt: skip
    assert "left out" in map_classes(["Center", "Scratch"], KNOWN, {}, "b.npz").told[0]


@pytest.mark.parametrize(
    ("found", "known", "rename", "message"),
    [
        (["", ""], KNOWN, {}, "b.npz: none of 2 wafers has a class"),
        (["A", "B"], KNOWN, {}, r"none of its classes \(A, B\) is one of the study's .*evaluate.rename=\{A: Center\}"),
        (["A"], KNOWN, {"A": "Centre"}, "becomes 'Centre', which is no class of the study.*did you mean 'Center'"),
        (["Center"], KNOWN, {"Centr": "Center"}, "'Centr' is no class of b.npz"),
        (["edge ring"], ["Edge-Ring", "EdgeRing"], {}, "may be any of Edge-Ring, EdgeRing"),
    ],
)
def test_class_names_that_do_not_map_are_refused(found, known, rename, message):
    with pytest.raises(InputError, match=message):
        map_classes(found, known, rename, "b.npz")


def judged(n=300, right=0.8, certain=0.8, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, n)  # two of the three classes: the third is not in the set
    called = np.where(rng.random(n) < right, true, (true + 1 + rng.integers(0, 2, n)) % 3)
    p = np.full((n, 3), (1 - certain) / 2)
    p[np.arange(n), called] = certain
    table = pd.DataFrame(p, columns=[f"p_{label}" for label in LABELS])
    names = np.array(LABELS)
    return table.assign(label=names[true], called=names[called], probability=certain)


def test_scores_are_scikit_learns_over_the_classes_that_the_set_has():
    table = judged()
    scores = score(table, LABELS, 200, 0.95, 0)
    whole = scores[scores["label"] == ""].set_index("metric")
    two = ["center", "edge-ring"]
    expected = f1_score(table["label"], table["called"], labels=two, average="macro")
    assert whole.loc["macro_f1", "value"] == pytest.approx(expected)
    assert whole.loc["accuracy", "value"] == pytest.approx(accuracy_score(table["label"], table["called"]))
    assert set(scores["label"]) == {"", *two}
    bounded = whole.drop("ece")
    assert (bounded.loc[["macro_f1", "accuracy"], "low"] < bounded.loc[["macro_f1", "accuracy"], "value"]).all()
    assert whole.loc["mean_confidence", "value"] == pytest.approx(0.8)
    assert np.isnan(whole.loc["mean_confidence", "low"]), "no interval where no resample differs"
    counts = confusion(table, LABELS).set_index(["y_true", "y_pred"])["n"]
    assert counts.sum() == 300 and counts["near-full"].sum() == 0 and len(counts) == 9


def test_calls_of_the_svm_are_as_sure_as_the_probability_of_what_it_called():
    table = judged(right=1.0, certain=0.8)
    other = table.assign(called=table["label"], probability=np.where(np.arange(300) < 150, 0.8, 0.1))
    whole = score(other, LABELS, 20, 0.95, 0).query("label == ''").set_index("metric")["value"]
    assert whole["mean_confidence"] == pytest.approx(0.45) and whole["accuracy"] == 1
    assert whole["ece"] == pytest.approx(0.55), "not the softmax head's, which made other calls"


def test_home_is_the_same_classes():
    home = pd.DataFrame({"y_true": ["center"] * 4 + ["near-full"] * 4, "y_pred": ["center"] * 4 + ["center"] * 4})
    assert own_score(home, {"center"}) == 1 and own_score(home, {"center", "near-full"}) == pytest.approx(1 / 3)
    assert np.isnan(own_score(home, {"scratch"}))


def at_home(n=400, seed=1, rate=0.1):
    rng = np.random.default_rng(seed)
    label = np.array(LABELS)[rng.integers(0, 2, n)]
    failing = rng.binomial(500, rng.uniform(0.5 * rate, 1.5 * rate, n))
    return pd.DataFrame({"label": label, "rows": 25, "columns": 27, "dies": 500, "failing_dies": failing})


def test_wafers_as_at_home_warn_of_nothing_and_others_of_each_shift():
    home = judged(right=0.85).assign(unseen_grid=False, unusual=np.arange(300) < 3, dies=500)
    home["failing_dies"] = at_home(300, 2)["failing_dies"]
    assert warnings(shift(home, at_home(), at_home(seed=3))) == []
    away = judged(right=0.6).assign(unseen_grid=np.arange(300) < 200, unusual=np.arange(300) < 60, dies=500)
    away["failing_dies"] = at_home(300, 2, rate=0.4)["failing_dies"]
    table = shift(away, at_home(), at_home(seed=3))
    assert table["shifted"].all() and len(warnings(table)) == 4
    assert "mean confidence 0.80, accuracy 0.57" in warnings(table)[-1]


def test_a_few_strange_wafers_are_no_shift():
    few = judged(n=10, right=1.0).assign(unseen_grid=np.arange(10) < 3, unusual=np.arange(10) < 1, dies=500)
    few["failing_dies"] = at_home(10, 2)["failing_dies"]
    assert not shift(few, at_home(), at_home(seed=3))["shifted"].any()


def test_the_page_escapes_names_and_says_what_is_shifted(tmp_path):
    from waferbench.base.places import TEMPLATES

    table = judged().assign(unseen_grid=True, unusual=False, dies=500, failing_dies=50)
    far = shift(table, at_home(), at_home(seed=3))
    facts = {
        "study": "s", "file": "<b>.npz", "protocol": "cv5", "backbone": "net", "condition": "real_aug", "fold": 0,
        "head": "softmax", "home": 0.9, "confidence": 0.95, "n": 300, "n_left_out": 2, "n_in_training": 1,
        "unit": "fold",
    }  # fmt: skip
    names = {"center": "<i>Center", "edge-ring": "Edge-Ring", "near-full": "Near-full"}
    write_evaluation(
        TEMPLATES / "evaluation.html.j2", tmp_path / "page.html", score(table, LABELS, 200, 0.95, 0),
        confusion(table, LABELS), far, warnings(far), ["'A': left out"], names, facts,
    )  # fmt: skip
    page = (tmp_path / "page.html").read_text()
    assert "&lt;b&gt;.npz" in page and "&lt;i&gt;Center" in page and "<i>Center" not in page
    assert "100% of the wafers have a die grid that no training wafer has" in page
