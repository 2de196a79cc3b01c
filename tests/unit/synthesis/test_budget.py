"""The budget's readings, a fold's plan, and what is refused before anything is drawn."""

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_table, write_table
from waferbench.base.errors import InputError
from waferbench.base.tables import TABLES
from waferbench.config.resolve import validated
from waferbench.config.synthesis.settings import Budget
from waferbench.config.synthesis.sources import ADAPTER_WAFERS
from waferbench.config.synthesis.stages import BudgetedSource, CheckBudget, PlanBudget
from waferbench.synthesis.budget import available, plan, require_room, require_wafers, room, wanted_counts
from waferbench.synthesis.dielora import adapters
from waferbench.synthesis.diffusion import lora
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
PAPER = Budget(target=5000, cap=3.0, everywhere=0)


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
    counts = wanted_counts(TRAIN, FULL, PAPER.model_copy(update={"reading": reading, "exclude": tuple(exclude)}))
    assert sum(counts.values()) == total
    assert list(counts) == list(FULL)


def test_a_stratified_fold_differs_from_the_rounded_figure_by_rounding_only():
    labels = np.repeat(list(FULL), list(FULL.values()))
    test_fold = assign_folds(labels)
    train = pd.Series(labels[(test_fold != 0) & (test_fold != 1)]).value_counts().to_dict()
    total = sum(wanted_counts({label: train[label] for label in FULL}, FULL, PAPER).values())
    assert abs(total - 12129) <= 12


def test_every_class_gets_its_share_but_for_excluded_ones():
    budget = Budget(target=40, cap=3.0, everywhere=0.2, exclude=("C",))
    assert wanted_counts({"a": 100, "b": 10, "c": 10}, {}, budget) == {"a": 20, "b": 30, "c": 0}
    assert wanted_counts({"a": 41}, {}, budget)["a"] == 9, "a share is rounded up"
    assert wanted_counts({"a": 30}, {}, Budget(target=0, everywhere=0.1))["a"] == 3


def test_unknown_reading_is_named():
    with pytest.raises(InputError, match="topup"):
        validated(Budget, {"reading": "top"})


SPLITS = ["train"] * 6 + ["val"] * 2 + ["test"] * 2 + ["reserve"] * 2 + ["spare"]


@pytest.fixture
def tables():
    """26 wafers of two classes; of fold 1 each class has 6 to train, 2 in reserve, a spare one; the other fold is not
    looked at."""
    ids = [f"w{i:02d}" for i in range(26)]
    selected = pd.DataFrame({"wafer_id": ids, "label": ["a", "b"] * 13, "row": range(26), "sha256": ids})
    folds = pd.DataFrame({"wafer_id": ids, "fold": 1, "split": [split for split in SPLITS for _ in "ab"]})
    return selected, pd.concat([folds, folds.assign(fold=0, split="test")])


def test_a_plan_counts_the_wafers_that_train(tables):
    budget = Budget(target=100, cap=2.0, everywhere=0)
    found = plan(*tables, 1, budget, ["a", "b", "empty"])
    assert found.to_numpy().tolist() == [["a", 6, 2, 12], ["b", 6, 2, 12], ["empty", 0, 0, 0]]
    full = plan(*tables, 1, Budget(reading="min_full", target=100, cap=2.0, everywhere=0), ["a"])
    assert full["wanted"].tolist() == [20], "wafers in reserve and spare ones are not counted"
    assert plan(*tables, 1, budget, ["a"], leaky=True)["real"].tolist() == [10], "added before the split"


def plans(**columns):
    rows = {"label": ["a", "b"], "real": [50, 20], "reserved": [25, 8], "wanted": [10, 40], **columns}
    return pd.DataFrame(rows).assign(protocol="cv5", seed=42, replicate=0, fold=3)


def source(n_accepted=40, reserved=False, fewest=0):
    return BudgetedSource(name="gan", n_accepted=n_accepted, reserved=reserved, fewest=fewest)


def check(sources, budget=PAPER, **columns):
    table = room(plans(**columns), sources, budget)
    require_room(table, sources, budget)
    return table


def test_what_a_source_has_stands_beside_what_is_wanted():
    table = check([source()])
    assert tuple(table.columns) == TABLES["budget"]
    assert table[["wanted", "available"]].to_numpy().tolist() == [[10, 40], [40, 40]]
    assert available(plans(), source(30, reserved=True)).tolist() == [25, 8]
    everything = room(plans(wanted=[0, 40]), [source(30)], Budget(reading="all", equal=False))
    assert everything["wanted"].tolist() == [0, 30]
    assert tuple(room(plans(), [], PAPER).columns) == TABLES["budget"]


def test_a_pool_below_the_budget_is_refused_with_its_numbers():
    message = (
        "cv5, seed 42, fold 3, class 'b': 40 wafers .* 20 real .* source 'gan' has 39; raise pool.n_accepted to 40"
    )
    with pytest.raises(InputError, match=message):
        check([source(39)])
    with pytest.raises(InputError, match=r"budget\.equal to false"):
        check([source(39)])


def test_too_few_wafers_for_an_adapter_are_named_with_what_to_change():
    message = r"define\.sources\.gan: cv5, seed 42, fold 3: class 'b' has 5 training wafers, but an adapter needs 6"
    with pytest.raises(InputError, match=rf"{message}; lower oracle\.reserve, add .*dataset\.simulated\.counts"):
        require_wafers(plans(real=[50, 5]), [source(), source(fewest=6)])
    with pytest.raises(InputError, match=f"{message}; add wafers"):
        require_wafers(plans(real=[50, 5], reserved=0), [source(fewest=6)])
    require_wafers(plans(real=[50, 6]), [source(fewest=6)])
    require_wafers(plans(real=[50, 5]), [source()])
    assert {adapters.FEWEST, lora.FEWEST} == {ADAPTER_WAFERS}


def test_a_reserve_below_the_budget_is_refused_with_advice_that_works():
    with pytest.raises(InputError, match=r"raise oracle\.reserve, or lower budget\.cap and budget\.everywhere to 0\.4"):
        check([source(400, reserved=True)])
    counts = wanted_counts({"a": 50, "b": 20}, {}, Budget(target=5000, cap=0.4, everywhere=0.4))
    check([source(400, reserved=True)], wanted=list(counts.values()))


def test_unequal_budgets_are_said_and_not_refused(capsys):
    check([source(39)], Budget(equal=False))
    assert "class 'b': 40 wafers" in capsys.readouterr().err


def test_the_scripts_plan_each_fold_and_check_the_study(tables, tmp_path, capsys):
    for name, table in zip(("selected", "folds"), tables, strict=True):
        write_table(tmp_path / f"{name}.parquet", table)
    settings = {"protocol": "replicates4", "seed": 7, "budget": {"target": 100, "cap": 2.0}, "classes": ["A", "B"]}
    run_script(
        "synthesis/plan_budget",
        tmp_path,
        PlanBudget.model_validate(settings),
        inputs={name: tmp_path / f"{name}.parquet" for name in ("selected", "folds")},
        outputs={"plan": tmp_path / "plan.parquet"},
        wildcards={"protocol": "replicates4", "seed": "7", "fold": "1"},
    )
    planned = read_table(tmp_path / "plan.parquet")
    assert planned["wanted"].tolist() == [12, 12] and (planned["replicate"] == 1).all()

    def checked(n_accepted, fewest=6):
        run_script(
            "synthesis/check_budget",
            tmp_path,
            CheckBudget(budget=PAPER, sources=[source(n_accepted, fewest=fewest)]),
            inputs={"plans": [tmp_path / "plan.parquet"]},
            outputs={"budget": tmp_path / "budget.parquet"},
        )

    checked(12)
    assert tuple(read_table(tmp_path / "budget.parquet").columns) == TABLES["budget"]
    with pytest.raises(SystemExit):
        checked(11)
    assert "raise pool.n_accepted to 12" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        checked(12, fewest=7)
    assert "has 6 training wafers, but an adapter needs 7" in capsys.readouterr().err
