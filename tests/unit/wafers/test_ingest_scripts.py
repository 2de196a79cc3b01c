"""The four scripts in a row, as Snakemake would run them."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from waferbench.base.artifacts import read_provenance, read_table
from waferbench.wafers.store import read_store

SCRIPTS = Path(__file__).parents[3] / "workflow/scripts"
COUNTS = {"Center": 12, "Loc": 11, "none": 5}


class Files(dict):
    """Named files, reached as Snakemake's are: by name, or by position."""

    def __getattr__(self, name):
        return self[name]

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


def run(study, name, settings, inputs, outputs):
    snakemake = SimpleNamespace(
        params=SimpleNamespace(settings=json.dumps(settings), code="0"),
        wildcards={},
        input=Files(inputs),
        output=Files(outputs),
        threads=1,
        resources={},
        rule=name,
        config={"machine": {"study": str(study)}},
        log=[],
    )
    runpy.run_path(str(SCRIPTS / f"{name}.py"), {"snakemake": snakemake})


def study(folder, protocol="cv3", **dataset):
    files = {name: str(folder / name) for name in ("wafers.h5", "wafers.parquet", "selected.parquet", "folds.parquet")}
    simulated = {"counts": COUNTS, "wafers_per_lot": 5, "duplicates": 0.1, "difficulty": 1.0}
    settings = {"source": "simulated", "classes": ["Center", "Loc"], "simulated": simulated, **dataset}
    outputs = {"store": files["wafers.h5"], "wafers": files["wafers.parquet"]}
    run(folder, "ingest", {"dataset": settings, "seed": 3}, {}, outputs)
    inputs = {"wafers": files["wafers.parquet"]}
    selection = {"classes": ["Center", "Loc"], "max_per_class": 10}
    run(folder, "select_wafers", selection, inputs, {"selected": files["selected.parquet"]})
    inputs["selected"] = files["selected.parquet"]
    run(
        folder,
        "make_folds",
        {"folds": {"seed": 42}, "protocol": protocol, "seed": 3},
        inputs,
        {"folds": files["folds.parquet"]},
    )
    inputs["folds"] = files["folds.parquet"]
    run(folder, "audit", {}, inputs, {"audit": str(folder / "audit.parquet")})
    return folder


def test_scripts(tmp_path):
    first, again = study(tmp_path / "a"), study(tmp_path / "b")
    table = read_table(first / "wafers.parquet")
    assert table["class"].value_counts().to_dict() == COUNTS
    assert table["wafer_id"].iloc[0] == "sim-000000"
    assert (table["lot"] != "").all()
    assert len(read_store(first / "wafers.h5")) == len(table)
    assert len(read_table(first / "selected.parquet")) == 20
    folds = read_table(first / "folds.parquet")
    assert list(folds.columns) == ["protocol", "seed", "wafer_id", "fold", "split"]
    assert set(folds["protocol"]) == {"cv3"} and set(folds["seed"]) == {3} and len(folds) == 60
    audit = read_table(first / "audit.parquet")
    assert np.isin(["ingested", "crossing_lots"], audit["check"]).all()
    assert read_provenance(first / "folds.parquet")["settings"]["seed"] == 3
    raw = (first / "wafers.h5").read_bytes(), (again / "wafers.h5").read_bytes()
    assert raw[0] == raw[1]
    for name in ("wafers", "selected", "folds", "audit"):
        assert read_table(first / f"{name}.parquet").equals(read_table(again / f"{name}.parquet"))


def test_grouped_folds(tmp_path):
    folder = study(tmp_path / "a", protocol="duplicate_cv3")
    audit = read_table(folder / "audit.parquet")
    assert audit[audit["check"].isin(["crossing_exact", "crossing_symmetric"])]["value"].sum() == 0


def test_simulated_lacks_a_class(tmp_path, capsys):
    with pytest.raises(SystemExit):
        study(tmp_path / "a", classes=["Center", "Donut"])
    assert "'Donut' not found in dataset.simulated.counts" in capsys.readouterr().err
