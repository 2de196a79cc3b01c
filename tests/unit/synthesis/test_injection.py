"""The budget's readings and the selection that spends them."""

import numpy as np
import pandas as pd
import pytest

from waferbench.base.errors import InputError
from waferbench.base.tables import INJECTION
from waferbench.config.resolve import validated
from waferbench.config.synthesis.settings import Budget
from waferbench.synthesis.injection import budget_counts, inject
from waferbench.wafers.splitting import assign_folds

FULL = {
    "edge-ring": 9680,
    "edge-loc": 5189,
    "center": 4294,
    "loc": 3593,
    "scratch": 1193,
    "random": 866,
    "donut": 555,
    "near-full": 149,
}
TRAIN = {label: round(0.6 * n) for label, n in FULL.items()}
PAPER = Budget(target=5000, cap=3.0)


@pytest.mark.parametrize(
    ("reading", "exclude", "total"),
    [
        ("topup_train", [], 12129),
        ("topup_full", [], 10402),
        ("min_full", ["Edge-Ring"], 23289),
        ("min_full", [], 28289),
    ],
)
def test_readings_give_the_published_figures(reading, exclude, total):
    counts = budget_counts(TRAIN, FULL, Budget(reading=reading, target=5000, cap=3.0, exclude=tuple(exclude)))
    assert sum(counts.values()) == total
    assert list(counts) == list(FULL)


def test_a_stratified_fold_differs_from_the_rounded_figure_by_rounding_only():
    labels = np.repeat(list(FULL), list(FULL.values()))
    test_fold = assign_folds(labels)
    train = pd.Series(labels[(test_fold != 0) & (test_fold != 1)]).value_counts().to_dict()
    total = sum(budget_counts({label: train[label] for label in FULL}, FULL, PAPER).values())
    assert abs(total - 12129) <= 12


def test_all_takes_everything_but_the_excluded():
    everything = Budget(reading="all", exclude=("B",))
    counts = budget_counts({"a": 5, "b": 5}, {"a": 9, "b": 9}, everything, {"a": 70, "b": 80})
    assert counts == {"a": 70, "b": 0}


def test_unknown_reading_is_named():
    with pytest.raises(InputError, match="topup"):
        validated(Budget, {"reading": "top"})


@pytest.fixture
def study():
    selected = pd.DataFrame(
        {"wafer_id": [f"w{i}" for i in range(50)], "label": ["a"] * 40 + ["b"] * 10, "row": range(50)}
    )
    train = selected.iloc[[*range(24), *range(40, 46)]]
    scores = pd.DataFrame(
        {"label": ["a"] * 30 + ["b"] * 30, "index": [*range(30)] * 2, "in_pool": [i % 3 > 0 for i in range(60)]}
    )
    return selected, train, scores, Budget(reading="topup_train", target=30, cap=2.0)


def test_only_the_pool_enters_and_seeds_decide(study, capsys):
    selected, train, scores, budget = study
    table, counts = inject("gan", selected, train, budget, ["a", "b"], 7, scores)
    assert counts == {"a": {"real": 24, "wanted": 6, "taken": 6}, "b": {"real": 6, "wanted": 12, "taken": 12}}
    eligible = set(scores[scores["in_pool"]][["label", "index"]].itertuples(index=False, name=None))
    assert set(table[["label", "index"]].itertuples(index=False, name=None)) <= eligible
    assert not table.duplicated().any() and (table["wafer_id"] == "").all()
    assert tuple(table.columns) == INJECTION
    assert table.equals(inject("gan", selected, train, budget, ["a", "b"], 7, scores)[0])
    assert not table.equals(inject("gan", selected, train, budget, ["a", "b"], 8, scores)[0])
    assert "pool holds" not in capsys.readouterr().err


def test_a_short_pool_is_said(study, capsys):
    selected, train, scores, _ = study
    _, counts = inject("gan", selected, train, Budget(target=60, cap=9), ["a", "b"], 7, scores)
    assert counts["b"] == {"real": 6, "wanted": 54, "taken": 20}
    assert "asks for 54, the pool holds 20" in capsys.readouterr().err


def test_repeats_are_training_wafers_equally_often(study):
    selected, train, _, _ = study
    table, _ = inject("repeat", selected, train, Budget(target=40, cap=2.5), ["a", "b"], 7)
    assert (table["index"] == -1).all() and set(table["wafer_id"]) <= set(train["wafer_id"])
    often = table[table["label"] == "b"]["wafer_id"].value_counts()
    assert often.sum() == 15 and often.max() - often.min() <= 1


def test_no_source_no_rows_and_missing_scores_are_an_error(study):
    selected, train, _, budget = study
    for asked in (budget, None):
        table, counts = inject("none", selected, train, asked, ["a"], 7)
        assert len(table) == 0 and counts == {} and tuple(table.columns) == INJECTION
    with pytest.raises(InputError, match="scores"):
        inject("gan", selected, train, budget, ["a"], 7)
