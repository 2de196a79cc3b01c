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
    "scores": [*CELL, "macro_f1", "accuracy", "n_train_real", "n_train_synthetic", "n_test"],
    "per_class": [*CELL, "label", "precision", "recall", "f1", "support"],
    "predictions": [
        *("protocol", "seed", "wafer_id", "fold", "backbone", "condition", "head", "y_true", "y_pred"),
    ],
    "quality": ["protocol", "seed", "fold", "source", "label", "metric", "value", "network"],
    "shape_filter": ["source", "label", "fold", "kept", "reason"],
    "folds": ["protocol", "seed", "wafer_id", "fold", "split"],
    "audit": ["check", "value"],
}


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
        assert sources == set(scores["condition"]) & {"gan", "lora", "die_flow"}, f"{name}: {sources}"
    if len(tables["quality"]) and "inception" not in " ".join(tables["quality"]["network"]):
        assert not tables["quality"]["metric"].str.contains("fid").any(), "FID named without Inception"
    return tables


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))["scores"]
    print(
        found.groupby(["head", "backbone", "condition"])["macro_f1"].agg(["mean", "std", "count"]).round(4).to_string()
    )
    best = found[found["head"] == "ecoc_svm"].groupby(["backbone", "condition"])["macro_f1"].mean().max()
    assert best > 0.6, f"best ECOC-SVM macro-F1 is {best:.3f}, expected above 0.6: a stage has gone wrong"
    print(f"{sys.argv[1]}: contract holds; best ECOC-SVM macro-F1 {best:.4f}")
