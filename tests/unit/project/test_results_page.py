"""Finished folds are kept as rows, those of a fold that is there already replaced, and the page's tables follow."""

import importlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from waferbench.base.artifacts import write_table
from waferbench.base.tables import TABLES

ROOT = Path(__file__).parents[3]
FOLD = {"protocol": "duplicate_cv5", "seed": 42, "replicate": 0}
LABELS = ("donut", "scratch")


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The module, with a page and rows of its own."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module = importlib.import_module("results")
    monkeypatch.setattr(module, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(module, "PAGE", tmp_path / "results.md")
    module.PAGE.write_text("# Before\n\n<!-- results: wm -->\n<!-- end -->\n\nAfter.\n")
    yield module
    for name in ("results", "common"):
        sys.modules.pop(name, None)


def write_study(folder: Path, folds: dict[int, float]) -> Path:
    """A study with these folds, the oracle that many above the others."""
    cells, classes, labels = [], [], []
    for fold, gain in folds.items():
        for condition in ("real_aug", "oversample", "oracle"):
            for head in ("softmax", "ecoc_svm"):
                cell = {**FOLD, "fold": fold, "backbone": "net", "condition": condition, "head": head}
                f1 = 0.9 + (gain + 0.001 * fold if condition == "oracle" else 0)
                cells.append({**cell, "macro_f1": f1, "n_added": 0 if condition == "real_aug" else 30, "steps": 1000})
                classes += [{**cell, "label": label, "f1": f1} for label in LABELS]
                made_from = {"params": {"gain": gain}, "made_by": "waferbench 0"}
                path = folder / f"duplicate_cv5/seed42/fold{fold}/cells/net/{condition}/{head}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_table(path, pd.DataFrame({"a": [1]}), made_from)
        labels += [
            {**FOLD, "fold": fold, "source": source, "label": label, "index": i, "in_pool": i < 4, "y_judge": called}
            for source in ("real", "gan")
            for label in LABELS
            for i, called in enumerate([label, label, label if source == "real" else "loc", "loc", "loc"])
        ]
    tables = {"scores": cells, "per_class": classes, "agreement": labels, "reconstruction": []}
    for name, rows in tables.items():
        write_table(folder / f"{name}.parquet", pd.DataFrame(rows, columns=TABLES[name]), {})
    return folder


def test_folds_are_added_and_replaced_and_fill_the_page(results, tmp_path, monkeypatch):
    study = write_study(tmp_path / "wm", {0: 0.02})
    monkeypatch.setattr(sys, "argv", ["results.py", str(study)])
    results.main()
    kept = pd.read_csv(results.KEPT / "wm-scores.csv")
    assert len(kept) == 6 and kept["identity"].str.fullmatch("[0-9a-f]{12}").all()
    page = results.PAGE.read_text()
    assert page.startswith("# Before") and page.endswith("After.\n")
    assert "| `oracle` | 30 | 1,000 | 0.9200 | 0.9200 | +2.0 | +2.0 |  |" in page, "one fold has no interval"
    assert "| gan | 0.50 | 0.50 | 0.50 |" in page and "| real | 0.75 | 0.75 | 0.75 |" in page

    write_study(study, {0: 0.03, 1: 0.04})
    results.main()
    again = pd.read_csv(results.KEPT / "wm-scores.csv")
    assert len(again) == 12 and again.groupby("fold")["macro_f1"].max().round(4).tolist() == [0.93, 0.941]
    assert set(kept["identity"]).isdisjoint(again["identity"]), "what a cell was made from is another"
    assert "+3.5 (" in results.PAGE.read_text() and "Folds 0, 1 of duplicate_cv5" in results.PAGE.read_text()


def test_the_page_is_made_of_the_rows_that_are_kept():
    """What docs/results.md shows is what docs/results/ holds."""
    page = ROOT / "docs/results.md"
    before = page.read_text()
    subprocess.run([sys.executable, ROOT / "benchmarks/results.py"], check=True)
    after = page.read_text()
    page.write_text(before)
    assert after == before, "python benchmarks/results.py makes it anew"
