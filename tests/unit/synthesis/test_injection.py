"""The selection that spends the budget."""

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_provenance, read_table, write_table
from waferbench.base.errors import InputError
from waferbench.base.tables import INJECTION
from waferbench.config.synthesis.stages import BudgetedSource, MakeInjection
from waferbench.synthesis.injection import (
    counted,
    everything,
    inject,
    judged_pool,
    leaky_split,
    repeat,
    require_all,
    unfiltered,
)

WANTED = {"a": 6, "b": 12}


@pytest.fixture
def pool():
    """Of each class 20 samples in the pool and 10 outside."""
    index = [*range(30)] * 2
    return pd.DataFrame({"label": ["a"] * 30 + ["b"] * 30, "index": index, "in_pool": [i % 3 > 0 for i in index]})


@pytest.fixture
def train():
    ids = [f"w{i}" for i in range(30)]
    return pd.DataFrame({"wafer_id": ids, "label": ["a"] * 24 + ["b"] * 6, "row": range(30), "sha256": ids})


def chosen(table):
    return set(table[["label", "index"]].itertuples(index=False, name=None))


def test_only_the_pool_enters_and_seeds_decide(pool):
    table = inject("gan", pool, WANTED, 7)
    assert table["label"].value_counts().to_dict() == WANTED
    assert chosen(table) <= chosen(pool[pool["in_pool"]])
    assert not table.duplicated().any() and (table["wafer_id"] == "").all() and (table["split"] == "train").all()
    assert tuple(table.columns) == INJECTION
    assert table.equals(inject("gan", pool, WANTED, 7))
    assert not table.equals(inject("gan", pool, WANTED, 8))


def test_an_unfiltered_pool_is_its_first_samples():
    assert chosen(unfiltered({"a": 2, "b": 1})) == {("a", 0), ("a", 1), ("b", 0)}
    assert everything(unfiltered({"a": 2, "b": 1}), {"a": 9, "b": 0, "c": 9}) == {"a": 2, "b": 0, "c": 0}


def test_a_larger_pool_changes_no_order():
    small, large = (inject("gan", unfiltered({"a": n}), {"a": 30}, 7)["index"] for n in (40, 60))
    assert set(large[large < 40]) <= set(small), "the order of the first 40 depends on how many there are"


def verdicts(drawn, in_pool=20):
    """A judge's of so many samples of a, the first in the pool: those of an even index carry their class."""
    index = np.arange(drawn)
    return pd.DataFrame(
        {"label": "a", "index": index, "in_pool": index < in_pool, "y_judge": np.where(index % 2, "b", "a")}
    )


def test_a_judged_condition_keeps_what_is_confirmed_and_is_topped_up():
    plain = set(inject("gan", unfiltered({"a": 20}), {"a": 8}, 7)["index"])
    few, all_of_pool, more = (set(inject("gan", verdicts(60), {"a": n}, 7)["index"]) for n in (8, 10, 15))
    assert {i for i in plain if i % 2 == 0} <= few < set(range(0, 20, 2)), "not what the plain condition takes, first"
    assert all_of_pool == set(range(0, 20, 2))
    assert all_of_pool < more and len(more) == 15 and all(i % 2 == 0 for i in more)
    assert few == set(inject("gan", verdicts(600), {"a": 8}, 7)["index"]), "the further ones come last"


def test_a_judge_who_confirms_too_few_is_told_with_the_key_to_raise():
    counts = counted(inject("gan", verdicts(60), {"a": 40}, 7), {"a": 40})
    assert counts == {"a": {"wanted": 40, "taken": 30}}
    with pytest.raises(InputError, match=r"40 wafers, 30 are there; the judge confirms no more .*raise pool\.judged"):
        require_all("gan", counts, equal=True, judged=True)
    with pytest.raises(InputError, match="no more are in reserve whose class the judge confirms: raise oracle"):
        require_all("oracle", counts, equal=True, reserved=True, judged=True)
    assert len(inject("gan", verdicts(80), {"a": 40}, 7)) == 40, "the advice works"


def test_a_judge_chooses_among_what_the_shape_filter_keeps(pool):
    scores = pool.assign(kept=pool["in_pool"], in_pool=pool["in_pool"] & (pool["index"] < 15))
    table = judged_pool(scores.drop(columns="kept").assign(y_judge=pool["label"], p_intended=1.0), scores)
    assert chosen(table) == chosen(pool[pool["in_pool"]]) and table["in_pool"].sum() == 2 * 10
    assert len(judged_pool(table)) == len(table)


def test_a_judge_who_confirms_all_changes_nothing(pool):
    mine = pool[pool["in_pool"]]
    further = mine.assign(index=mine["index"] + 100, in_pool=False)
    table = inject("gan", pd.concat([mine, further]).assign(y_judge=lambda rows: rows["label"]), WANTED, 7)
    assert table.equals(inject("gan", pool, WANTED, 7))


def test_a_short_pool_is_refused_by_name_with_what_to_raise(pool):
    wanted = {"a": 6, "b": 54}
    counts = counted(inject("gan", pool, wanted, 7), wanted)
    assert counts["b"] == {"wanted": 54, "taken": 20}
    with pytest.raises(
        InputError, match=r"gan, class 'b': the budget asks for 54 wafers, 20 are there; .*pool\.max_raw"
    ):
        require_all("gan", counts, equal=True, filtered=True)
    with pytest.raises(InputError, match=r"raise pool\.n_accepted"):
        require_all("gan", counts, equal=True)


def test_a_short_pool_is_said_where_budgets_may_differ(pool, capsys):
    require_all("gan", {"b": {"wanted": 54, "taken": 20}}, equal=False)
    assert "asks for 54 wafers, 20 are there: all taken" in capsys.readouterr().err


def test_repeats_are_training_wafers_equally_often(train):
    table = repeat(train, {"a": 4, "b": 15}, 7)
    assert (table["index"] == -1).all() and set(table["wafer_id"]) <= set(train["wafer_id"])
    often = table[table["label"] == "b"]["wafer_id"].value_counts()
    assert often.sum() == 15 and often.max() - often.min() <= 1


def test_a_class_without_wafers_cannot_be_repeated(train):
    table = repeat(train, {"c": 3}, 7)
    with pytest.raises(InputError, match=r"budget\.exclude"):
        require_all("repeat", counted(table, {"c": 3}), equal=True)


def test_a_leaky_protocol_splits_what_was_added(train):
    table = leaky_split(repeat(train, {"a": 40}, 7), 0.2, 0.1, "repeat", 7)
    assert table["split"].value_counts().to_dict() == {"train": 28, "test": 8, "val": 4}


SETTINGS = {"protocol": "cv5", "seed": 42, "equal": True, "exclude": [], "take_all": False}


@pytest.fixture
def make(tmp_path, train, pool):
    """The script, in a study of 24 wafers of A and 6 of B that train, which adds 6 and 12."""
    spare = pd.DataFrame({"wafer_id": ["s0", "s1"], "label": ["a", "b"], "row": [30, 31], "sha256": ["s0", "s1"]})
    ids = [*train["wafer_id"], *spare["wafer_id"]]
    folds = pd.DataFrame({"wafer_id": ids, "fold": 1, "split": ["train"] * 30 + ["spare"] * 2})
    plan = pd.DataFrame({"label": ["a", "b"], "real": [24, 6], "reserved": [0, 10], "wanted": list(WANTED.values())})
    pool["kept"] = pool["in_pool"]
    judged = pool.assign(y_judge=pool["label"])
    tables = {"selected": pd.concat([train, spare]), "folds": folds, "plan": plan, "scores": pool, "judged": judged}
    files = {name: tmp_path / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        write_table(files[name], table)

    def run(source, *more, pool=None, **settings):
        run_script(
            "synthesis/make_injection",
            tmp_path,
            MakeInjection.model_validate({**SETTINGS, "source": source, "pool": pool, **settings}),
            inputs={name: files[name] for name in ("selected", "folds", *more)},
            outputs={"injection": tmp_path / "injection.parquet"},
            wildcards={"protocol": "cv5", "seed": "42", "fold": "1", "condition": "c"},
        )
        path = tmp_path / "injection.parquet"
        return read_table(path), read_provenance(path)["counts"]

    return run


def drawing(n_accepted, **given):
    return BudgetedSource.model_validate(
        {"name": "gan", "n_accepted": n_accepted, "reserved": False, "fewest": 0, **given}
    )


def test_every_condition_adds_the_same_counts(make):
    tables = [
        make("repeat", "plan")[0],
        make("gan", "plan", pool=drawing(15))[0],
        make("gan", "plan", "scores", pool=drawing(15))[0],
        make("gan", "plan", "judged", pool=drawing(15))[0],
        make("gan", "plan", "scores", "judged", pool=drawing(15))[0],
    ]
    assert [table["label"].value_counts().to_dict() for table in tables] == [WANTED] * 5
    assert tables[4].equals(tables[2]), "a filtered source is judged among what the filter keeps"
    table, counts = make("none")
    assert len(table) == 0 and counts == {} and tuple(table.columns) == INJECTION


def test_repeats_keep_to_the_wafers_that_train(make, train):
    table, _ = make("repeat", "plan")
    assert set(table["wafer_id"]) <= set(train["wafer_id"]), "a spare wafer is repeated"


def test_a_reserve_that_falls_short_ends_the_condition(make, capsys):
    with pytest.raises(SystemExit):
        make("oracle", "plan", pool=drawing(15, name="oracle", reserved=True))
    said = capsys.readouterr().err
    assert "class 'a': the budget asks for 6 wafers, 0 are there" in said and "raise oracle.reserve" in said


def test_as_published_a_condition_may_leave_classes_out_and_take_all(make):
    table, counts = make("gan", "plan", pool=drawing(15), exclude=["A"], equal=False)
    assert np.array_equal(table["label"].unique(), ["b"]) and counts["a"]["wanted"] == 0
    table, _ = make("gan", "plan", pool=drawing(15), take_all=True, equal=False)
    assert table["label"].value_counts().to_dict() == {"a": 15, "b": 15}
