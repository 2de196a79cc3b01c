"""Check a finished study against the contract that programs rely on.

``python tests/check_study.py results/default``
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score

CELL = ["protocol", "backbone", "condition", "fold", "seed", "replicate", "head"]
COLUMNS = {
    "scores": [*CELL, "macro_f1", "accuracy", "n_train_real", "n_train_synthetic", "n_added", "steps", "n_test"],
    "per_class": [*CELL, "label", "precision", "recall", "f1", "support"],
    "predictions": [
        *("protocol", "seed", "wafer_id", "fold", "backbone", "condition", "head", "y_true", "y_pred"),
    ],
    "quality": ["protocol", "seed", "fold", "source", "label", "metric", "value", "network"],
    "shape_filter": ["source", "label", "fold", "kept", "reason"],
    "folds": ["protocol", "seed", "wafer_id", "fold", "split"],
    "audit": ["check", "value"],
    "budget": ["protocol", "seed", "replicate", "fold", "source", "label", "real", "wanted", "available"],
    "agreement": ["protocol", "seed", "replicate", "fold", "source", "label", "in_pool", "y_judge"],
    "texture": ["protocol", "seed", "replicate", "fold", "condition", "source", "auc", "bits"],
    "reconstruction": ["protocol", "seed", "replicate", "fold", "source", "label", "agreement", "error"],
    "ceiling": ["protocol", "head", "backbone", "condition", "gain", "ceiling", "share", "low", "high", "verdict"],
    "findings": ["finding", "subject", "value", "low", "high", "n", "text"],
}
SOURCES = {"oracle", "gan", "lora", "die_lora", "die_flow"}
REAL = {"real", "real_aug"}  # conditions that add nothing


def check(study: Path) -> dict[str, pd.DataFrame]:
    """Assert the contract; the tables by name."""
    tables = {name: pd.read_parquet(study / f"{name}.parquet") for name in COLUMNS}
    for name, columns in COLUMNS.items():
        missing = [column for column in columns if column not in tables[name].columns]
        assert not missing, f"{name}.parquet lacks {missing}; it has {list(tables[name].columns)}"
    scores, predictions, folds = tables["scores"], tables["predictions"], tables["folds"]
    assert set(scores["head"]) == {"softmax", "ecoc_svm"}
    for key, cell in predictions.groupby(CELL):
        labels = sorted(cell["y_true"].unique())
        row = scores.set_index(CELL).loc[key]
        assert len(cell) == row["n_test"]
        assert np.isclose(row["accuracy"], accuracy_score(cell["y_true"], cell["y_pred"]), rtol=0, atol=1e-12), key
        recomputed = f1_score(cell["y_true"], cell["y_pred"], labels=labels, average="macro", zero_division=0)
        assert np.isclose(row["macro_f1"], recomputed, rtol=0, atol=1e-12), key
        mine = dict(zip(CELL, key, strict=True))
        test = folds[folds["split"] == "test"]
        for name in ("protocol", "seed", "fold"):
            test = test[test[name] == mine[name]]
        tested, expected = set(cell["wafer_id"]), set(test["wafer_id"])
        leaky = mine["protocol"].startswith("leaky")  # tests on added wafers, too
        assert tested >= expected if leaky else tested == expected, f"{key}: tested on other wafers than the fold's"
    page = (study / "report.html").read_text()
    assert len(page) > 20_000, "report.html is nearly empty"
    assert "<script src" not in page and 'href="http' not in page, "report.html is not self-contained"
    for name in ("quality", "shape_filter"):
        sources = set(tables[name]["source"])
        assert sources == set(scores["condition"]) & SOURCES, f"{name}: {sources}"
    _check_fairness(scores, tables["budget"])
    if not scores["protocol"].str.startswith("leaky").any():
        _check_counts(study, scores)
    _check_floor(tables["agreement"], folds, set(scores["condition"]) & SOURCES)
    first, text = tables["findings"].iloc[0], " ".join(page.split())
    assert first["finding"] == "headline" and first["text"].split(" (")[0] in text, (
        "the page has another first sentence"
    )
    if len(tables["quality"]) and "inception" not in " ".join(tables["quality"]["network"]):
        assert not tables["quality"]["metric"].str.contains("fid").any(), "FID named without Inception"
    return tables


def _check_fairness(scores: pd.DataFrame, budget: pd.DataFrame) -> None:
    """Every condition took the same optimiser steps, and all that add wafers added the planned number."""
    assert scores["steps"].nunique() == 1 and scores["steps"].iloc[0] > 0, "conditions took different optimiser steps"
    cell = ["protocol", "seed", "replicate", "fold"]
    wanted = budget.groupby([*cell, "source"])["wanted"].sum().groupby(cell).agg(["min", "max"])
    assert (wanted["min"] == wanted["max"]).all() and (budget["available"] >= budget["wanted"]).all()
    real = scores["condition"].isin(REAL)
    assert (scores.loc[real, ["n_added", "n_train_synthetic", "n_train_repeated"]] == 0).all(axis=None)
    others = scores[~real].merge(wanted["max"].rename("planned").reset_index(), on=cell, how="left")
    assert (others["n_added"] == others["planned"]).all() and (others["n_added"] > 0).all()


def _check_counts(study: Path, cells: pd.DataFrame) -> None:
    """Of each class every condition that adds wafers added as many as the others."""
    for key, conditions in cells[~cells["condition"].isin(REAL)].groupby(["protocol", "seed", "fold"])["condition"]:
        folder = study / "{}/seed{}/fold{}/injection".format(*key)
        files = [folder / f"{condition}.parquet" for condition in conditions.unique()]
        counts = pd.DataFrame([pd.read_parquet(file)["label"].value_counts() for file in files])
        assert (counts.nunique() == 1).all() and not counts.isna().any(axis=None), f"{key}: {counts}"


def _check_floor(agreement: pd.DataFrame, folds: pd.DataFrame, sources: set[str]) -> None:
    """The judge has judged every source's samples, and the real wafers that the fold tests on."""
    assert set(agreement["source"]) == sources | ({"real"} if sources else set())
    real = agreement[agreement["source"] == "real"]
    assert real["in_pool"].all(), "a held-out wafer is one, whatever the shape filter would say"
    cell = ["protocol", "seed", "replicate", "fold"]
    judged, tested = (table.groupby(cell).size() for table in (real, folds[folds["split"] == "test"]))
    assert judged.equals(tested[judged.index]), "the floor is not of the test wafers"


def _check_replicates(tables: dict[str, pd.DataFrame]) -> None:
    """Replicates have training and test wafers of their own."""
    folds = tables["folds"]
    assert (folds["replicate"] == folds["fold"]).all() and folds["replicate"].nunique() > 1
    assert folds["wafer_id"].is_unique, "replicates share wafers"
    assert folds.loc[folds["split"] == "test"].groupby("replicate").size().nunique() == 1
    verdicts = set(tables["ceiling"].query("condition == 'oracle'")["verdict"])
    assert verdicts == {"the ceiling itself"}, f"no ceiling: {verdicts}"


def _check_fitted(study: Path, folds: pd.DataFrame) -> None:
    """Every generator, filter and classifier names its fold's training wafers as what it was fitted on."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))
    from waferbench.base.artifacts import read_provenance
    from waferbench.wafers.leakage import fitted_on

    for (protocol, seed, fold), wafers in folds.groupby(["protocol", "seed", "fold"]):
        folder = study / f"{protocol}/seed{seed}/fold{fold}"
        expected = fitted_on(wafers[wafers["split"] == "train"])["fitted_on"]
        files = list(folder.glob("**/*.safetensors"))
        kinds = {file.relative_to(folder).parts[:2] for file in files}
        assert {("sources", name) for name in SOURCES - {"oracle"}} <= kinds, f"fold {fold}: {sorted(kinds)}"
        for file in files:
            assert read_provenance(file).get("fitted_on") == expected, f"{file}: fitted on other wafers"


if __name__ == "__main__":
    study = check(Path(sys.argv[1]))
    _check_replicates(study)
    _check_fitted(Path(sys.argv[1]), study["folds"])
    found = study["scores"]
    print(
        found.groupby(["head", "backbone", "condition"])["macro_f1"].agg(["mean", "std", "count"]).round(4).to_string()
    )
    best = found[found["head"] == "ecoc_svm"].groupby(["backbone", "condition"])["macro_f1"].mean().max()
    assert best > 0.5, f"best ECOC-SVM macro-F1 is {best:.3f}, expected above 0.5: a stage has gone wrong"
    svm = found[found["head"] == "ecoc_svm"].groupby("condition")["macro_f1"].mean()
    if {"oracle", "real_aug"} <= {*svm.index}:
        assert svm["oracle"] > svm["real_aug"], "further real wafers help nothing: a stage has gone wrong"
    print(f"{sys.argv[1]}: contract holds; best ECOC-SVM macro-F1 {best:.4f}")
