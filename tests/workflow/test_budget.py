"""Equal budgets, from the plan of a fold to what enters training."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Study

from waferbench.base.artifacts import read_h5

pytestmark = pytest.mark.workflow


def test_a_budget_that_no_source_can_keep_is_refused_by_its_own_job(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    said = study.snakemake("results/tiny/budget.parquet", "--config", "set=pool.n_accepted=2", expect=1)
    assert "check_budget: budget: duplicate_cv5, seed 42, fold 0, class" in said
    assert "raise pool.n_accepted to" in said and "budget.equal" in said


def test_a_judge_is_given_more_samples_to_choose_among_and_all_else_keeps_its_own(finished: Study, tmp_path: Path):
    judged = "define.conditions.die_flow_judged.source=gan"
    option = ("--config", f"set={judged} conditions=[real,oracle,gan,lora,die_flow,die_flow_judged]")
    plan = finished.planned(*option)
    assert (plan["make_injection"], plan["sample_gan"], plan["judge_samples"]) == (1, 1, 1)
    assert not {"plan_budget", "check_budget", "draw_oracle", "sample_lora", "sample_die_flow"} & plan.keys()
    study = finished.copy(tmp_path / "study")
    raw = "duplicate_cv5/seed42/fold0/sources/gan/raw/scratch.h5"
    study.snakemake(f"results/tiny/{raw}", *option)
    before, after = (read_h5(one.results / raw, ["images"])["images"] for one in (finished, study))
    assert (len(before), len(after)) == (8, 24) and np.array_equal(after[:8], before)


def test_an_adapter_without_wafers_is_refused_before_anything_trains(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    said = study.snakemake("results/tiny/budget.parquet", "--config", "set=oracle.reserve=0.7", expect=1)
    assert "training wafers, but an adapter needs 6; lower oracle.reserve" in said
