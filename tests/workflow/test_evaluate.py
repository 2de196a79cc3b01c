"""The finished study's model on another labelled data set: scores, warnings, and what cannot be scored."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Study
from sklearn.metrics import f1_score

from helpers.pages import parsed
from waferbench.base.artifacts import read_table
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.store import WaferStore

pytestmark = pytest.mark.workflow
NAMES = {"Center": "center", "Edge-Ring": "edge ring", "Donut": "Donut"}  # as the other set spells them
SCORES = "results/tiny/evaluation/other.npz/scores.parquet"


def write(path: Path, labelled: bool) -> None:
    """Wafers of the same simulator: two classes of the study under other spellings, and one that it does not know."""
    maps, found, _ = simulate({"Center": 12, "Edge-Ring": 9, "Donut": 4}, seed=7, duplicates=0)
    store = WaferStore.of(maps)
    arrays = {"flat": store.flat, "offsets": store.offsets, "shapes": store.shapes}
    if labelled:
        classes = list(NAMES.values())
        arrays["label"] = np.array([classes.index(NAMES[name]) for name in found], np.int8)
        arrays["classes"] = np.array(classes)
    np.savez(path, **arrays)


@pytest.fixture(scope="module")
def study(finished: Study, tmp_path_factory) -> Study:
    study = finished.copy(tmp_path_factory.mktemp("evaluate") / "study")
    write(study.folder / "other.npz", labelled=True)
    write(study.folder / "unlabelled.npz", labelled=False)
    return study


def test_another_labelled_set_is_scored_and_nothing_is_trained(study: Study):
    said = study.snakemake("evaluate", "--config", "wafers=other.npz")
    folder = (study.folder / SCORES).parent
    log = (study.results / "logs/evaluate_wafers-other.npz.log").read_text()
    assert "'edge ring' (9 wafers): taken for 'Edge-Ring'" in log and "'Donut' (4 wafers)" in log
    assert "rule train_classifier" not in said and (folder / "report.html").exists()
    predictions, scores = read_table(folder / "predictions.parquet"), read_table(study.folder / SCORES)
    counted = predictions[predictions["label"] != ""]
    assert len(predictions) == 25 and counted["label"].value_counts().to_dict() == {"center": 12, "edge-ring": 9}
    macro = scores[(scores["metric"] == "macro_f1") & (scores["label"] == "")].iloc[0]
    labels = ["center", "edge-ring"]
    expected = f1_score(counted["label"], counted["called"], labels=labels, average="macro", zero_division=0)
    assert np.isclose(macro["value"], expected) and macro["low"] <= macro["value"] <= macro["high"]
    assert set(scores[scores["metric"] == "f1"]["label"]) == {"center", "edge-ring"}
    parsed((folder / "report.html").read_text())
    plan = study.planned("evaluate", "--config", "wafers=other.npz", "set=evaluate.rename={Donut: Scratch}")
    assert plan == {"evaluate": 1, "evaluate_wafers": 1}


def test_wafers_without_classes_are_refused_with_what_to_do(study: Study):
    said = study.snakemake("evaluate", "--config", "wafers=unlabelled.npz", expect=1)
    assert "unlabelled.npz: none of 25 wafers has a class" in said and "snakemake predict" in said
