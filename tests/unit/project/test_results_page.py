"""Finished folds are kept as rows, those of a cell that is there already replaced, and the page's tables follow."""

import importlib
import sys
from pathlib import Path

import pandas as pd
import pytest

from waferbench.base.artifacts import write_table
from waferbench.base.tables import TABLES

ROOT = Path(__file__).parents[3]
FOLD = {"protocol": "duplicate_cv5", "seed": 42, "replicate": 0}
LABELS = ("donut", "scratch")
CONDITIONS = ("real_aug", "oversample", "oracle")


@pytest.fixture
def results(monkeypatch):
    """The module, with its folder on the path as when it is called."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("results")
    for name in ("results", "common"):
        sys.modules.pop(name, None)


@pytest.fixture
def keep(results, tmp_path, monkeypatch):
    """Keeps a study by a commit, with a page and rows of its own."""
    monkeypatch.setattr(results, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(results, "PAGE", tmp_path / "results.md")
    results.PAGE.write_text("# Before\n\n<!-- results: wm -->\n<!-- end -->\n\nAfter.\n")

    def main(study: Path, commit: str = "1a2b3c") -> tuple[pd.DataFrame, str]:
        monkeypatch.setattr(sys, "argv", ["results.py", str(study), "--commit", commit])
        results.main()
        return pd.read_csv(results.KEPT / "wm-scores.csv"), results.PAGE.read_text()

    return main


def write_study(folder: Path, folds: dict[int, float], conditions=CONDITIONS, steps: int = 1000) -> Path:
    """A study with these folds, the oracle that many above the others."""
    cells, classes, labels = [], [], []
    for fold, gain in folds.items():
        for condition in conditions:
            for head in ("softmax", "ecoc_svm"):
                cell = {**FOLD, "fold": fold, "backbone": "net", "condition": condition, "head": head}
                f1 = 0.9 + (gain + 0.001 * fold if condition == "oracle" else 0)
                cells.append({**cell, "macro_f1": f1, "n_added": 0 if condition == "real_aug" else 30, "steps": steps})
                classes += [{**cell, "label": label, "f1": f1} for label in LABELS]
                made = {"settings": {"steps": steps}, "inputs": {"gain": gain}, "made_by": "waferbench 9.9"}
                path = folder / f"duplicate_cv5/seed42/fold{fold}/cells/net/{condition}/{head}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_table(path, pd.DataFrame({"a": [1]}), made)
        labels += [
            {**FOLD, "fold": fold, "source": source, "label": label, "index": i, "in_pool": i < 4, "y_judge": called}
            for source in ("real", "gan")
            for label in LABELS
            for i, called in enumerate([label, label, label if source == "real" else "loc", "loc", "loc"])
        ]
    quality = [
        {**FOLD, "fold": fold, "source": "gan", "label": label, "stage": "kept", "reference": "test", "metric": metric}
        for fold in folds
        for label in ("all", "donut")
        for metric in ("coverage", "floor_coverage", "hamming_train")
    ]
    texture = [{**FOLD, "fold": fold, "condition": "gan", "auc": 0.9} for fold in folds]
    ends = {"protocol": FOLD["protocol"], "head": "softmax", "backbone": "net", "condition": "oracle"}
    intervals = [{**ends, "reference": reference, "value": max(folds)} for reference in ("", "real_aug")]
    tables = {"scores": cells, "per_class": classes, "agreement": labels, "reconstruction": []}
    tables |= {"quality": quality, "texture": texture, "intervals": intervals}
    for name, rows in tables.items():
        write_table(folder / f"{name}.parquet", pd.DataFrame(rows, columns=TABLES[name]), {})
    return folder


def test_folds_are_added_and_replaced_and_fill_the_page(keep, results, tmp_path):
    study = write_study(tmp_path / "wm", {0: 0.02})
    kept, page = keep(study)
    assert len(kept) == 6 and kept["identity"].str.fullmatch("[0-9a-f]{12}").all()
    assert set(kept["version"].astype(str)) == {"9.9"} and set(kept["commit"]) == {"1a2b3c"}
    assert page.startswith("# Before") and page.endswith("After.\n")
    assert "| `oracle` | 30 | 0.9200 | +2.0 | +2.0 |  |" in page, "one fold has no interval"
    assert "| gan | 1 | 0.50 | 0.50 | 0.50 |" in page and "| real | 1 | 0.75 | 0.75 | 0.75 |" in page

    again, page = keep(write_study(study, {0: 0.03, 1: 0.04}), "4d5e6f")
    assert len(again) == 12 and again.groupby("fold")["macro_f1"].max().round(4).tolist() == [0.93, 0.941]
    assert set(kept["identity"]).isdisjoint(again["identity"]), "what a cell was made from is another"
    assert "+3.5 (" in page and "Folds 0, 1 of duplicate_cv5" in page and "commit `4d5e6f`" in page

    others = {part: pd.read_csv(results.KEPT / f"wm-{part}.csv") for part in ("quality", "texture", "intervals")}
    assert set(others["quality"]["metric"]) == {"coverage", "floor_coverage"} and len(others["quality"]) == 4
    assert others["texture"]["fold"].tolist() == [0, 1]
    assert others["intervals"].groupby("folds")["value"].max().to_dict() == {"0": 0, "0 1": 1}, "of each run its own"

    fewer, page = keep(write_study(study, {1: 0.04}, ("real_aug",)), "4d5e6f")
    assert len(fewer) == 12 and "+3.5 (" in page, "cells that a later run had not are kept"


def test_folds_of_other_settings_make_no_table(keep, tmp_path):
    keep(write_study(tmp_path / "wm", {0: 0.02}))
    with pytest.raises(SystemExit, match="several protocols or settings"):
        keep(write_study(tmp_path / "elsewhere/wm", {1: 0.02}, steps=2000))


def test_the_fold_that_settings_were_tuned_on_is_kept_and_not_reported(results, keep, tmp_path, monkeypatch):
    monkeypatch.setitem(results.TUNED_ON, "wm", 0)
    kept, page = keep(write_study(tmp_path / "wm", {0: 0.02, 2: 0.05}))
    assert set(kept["fold"]) == {0, 2} and "Fold 2 of duplicate_cv5" in page and "+5.2" in page


def test_the_page_is_made_of_the_rows_that_are_kept(results):
    page = (ROOT / "docs/results.md").read_text()
    assert "<!-- results: " in page and results.filled(page) == page, "python benchmarks/results.py makes it anew"
