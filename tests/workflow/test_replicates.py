"""Replicates: training and test sets of their own, as a simulated study has them."""

import pandas as pd
import pytest
from conftest import Study

from waferbench.base.artifacts import read_table

pytestmark = pytest.mark.workflow
TINY = ("tests/config/tiny.yaml",)
SETTINGS = "folds.protocols=[replicates2] folds.run=[] conditions=[real,oracle] dataset.simulated.test_per_class=6"
TABLES = ("scores", "ceiling", "folds", "predictions", "budget")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    study = Study.copy_workflow(tmp_path_factory.mktemp("replicates"))
    study.snakemake(*(f"results/tiny/{name}.parquet" for name in TABLES), "--config", f"set={SETTINGS}", overlays=TINY)
    return study


@pytest.fixture(scope="module")
def tables(study: Study) -> dict[str, pd.DataFrame]:
    return {name: read_table(study.results / f"{name}.parquet") for name in TABLES}


def test_replicates_train_and_test_on_lots_of_their_own(study: Study, tables: dict[str, pd.DataFrame]):
    lots = read_table(study.results / "data/wafers.parquet").set_index("wafer_id")["lot"]
    folds = tables["folds"].assign(lot=tables["folds"]["wafer_id"].map(lots))
    assert (folds["replicate"] == folds["fold"]).all() and set(folds["fold"]) == {0, 1}
    assert folds.groupby("lot")["replicate"].nunique().eq(1).all(), "replicates share a lot"
    fitted, test = (folds[mine] for mine in (folds["split"] != "test", folds["split"] == "test"))
    assert test["wafer_id"].is_unique and len(test) == 2 * 3 * 6
    assert not set(test["lot"]) & set(fitted["lot"])


def test_every_replicate_has_scores_and_the_ceiling_is_of_both(tables: dict[str, pd.DataFrame]):
    scores, ceiling = tables["scores"], tables["ceiling"]
    assert scores.groupby("replicate").size().to_dict() == {0: 4, 1: 4} and (scores["n_test"] == 18).all()
    assert scores["steps"].nunique() == 1 and (scores.query("condition == 'oracle'")["n_added"] > 0).all()
    tested = tables["predictions"].groupby("replicate")["wafer_id"].agg(frozenset)
    assert not tested[0] & tested[1]
    assert (ceiling["n_folds"] == 2).all() and ceiling["gain_low"].le(ceiling["gain_high"]).all()
