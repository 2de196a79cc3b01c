"""The four scripts in a row, as Snakemake would run them."""

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_provenance, read_table
from waferbench.base.tables import TABLES, WAFERS
from waferbench.config.stages import Ingest, MakeFolds, Nothing, Run, SelectWafers
from waferbench.config.study import Simulated
from waferbench.wafers.store import read_store

COUNTS = {"Center": 12, "Loc": 11, "none": 5}
CLASSES = ("Center", "Loc")
SIMULATED = Simulated(counts=COUNTS, wafers_per_lot=5, duplicates=0.1)
DIES = "wafer,x,y,bin,class\nA,0,0,1,Loc\nA,1,0,7,Loc\nB,0,0,1,Center\nC,0,0,1,\n"


def study(folder, protocol="cv3", classes=CLASSES):
    """The folder, with the four tables and the store of a simulated study in it."""
    folder.mkdir()
    files = {name: folder / f"{name}.parquet" for name in ("wafers", "selected", "folds", "audit")}
    files["store"] = folder / "wafers.h5"
    run = {"protocol": protocol, "seed": 3}
    for script, settings, inputs, outputs in (
        ("ingest", Ingest(source="simulated", classes=classes, simulated=SIMULATED, seed=3), (), ("store", "wafers")),
        ("select_wafers", SelectWafers(classes=classes, max_per_class=10), ("wafers",), ("selected",)),
        ("make_folds", MakeFolds(**run, fold_seed=42), ("selected",), ("folds",)),
        ("audit", Run(**run), ("wafers", "selected", "folds"), ("audit",)),
    ):
        given = {name: files[name] for name in inputs}
        run_script(f"wafers/{script}", folder, settings, inputs=given, outputs={name: files[name] for name in outputs})
    return folder


def test_scripts(tmp_path):
    first, again = study(tmp_path / "a"), study(tmp_path / "b")
    table = read_table(first / "wafers.parquet")
    assert tuple(table.columns) == WAFERS and table["class"].value_counts().to_dict() == COUNTS
    assert table["wafer_id"].iloc[0] == "sim-000000"
    assert (table["lot"] != "").all()
    assert len(read_store(first / "wafers.h5")) == len(table)
    assert len(read_table(first / "selected.parquet")) == 20
    folds = read_table(first / "folds.parquet")
    assert tuple(folds.columns) == TABLES["folds"]
    assert folds[["protocol", "seed", "replicate"]].drop_duplicates().to_numpy().tolist() == [["cv3", 3, 0]]
    assert len(folds) == 60
    audit = read_table(first / "audit.parquet")
    assert tuple(audit.columns) == TABLES["audit"] and set(audit["replicate"]) == {0}
    assert np.isin(["ingested", "crossing_lots"], audit["check"]).all()
    assert read_provenance(first / "folds.parquet")["settings"]["seed"] == 3
    raw = (first / "wafers.h5").read_bytes(), (again / "wafers.h5").read_bytes()
    assert raw[0] == raw[1]
    for name in ("wafers", "selected", "folds", "audit"):
        assert read_table(first / f"{name}.parquet").equals(read_table(again / f"{name}.parquet"))


def test_the_splits_of_all_runs_are_gathered(tmp_path):
    parts = [study(tmp_path / name, protocol) for name, protocol in (("a", "cv3"), ("b", "holdout_80_10_10"))]
    names = ("folds", "audit")
    inputs = {name: [part / f"{name}.parquet" for part in parts] for name in names}
    run_script(
        "wafers/gather_splits",
        tmp_path,
        Nothing(),
        inputs=inputs,
        outputs={n: tmp_path / f"{n}.parquet" for n in names},
    )
    for name in names:
        whole = pd.concat([read_table(path) for path in inputs[name]], ignore_index=True)
        assert read_table(tmp_path / f"{name}.parquet").equals(whole) and tuple(whole.columns) == TABLES[name]


def test_files_are_read_where_the_place_says(tmp_path):
    (tmp_path / "dies.csv").write_text(DIES)
    outputs = {"store": tmp_path / "wafers.h5", "wafers": tmp_path / "wafers.parquet"}
    settings = Ingest(source="dielist", classes=CLASSES, pass_bins=("1",))
    run_script("wafers/ingest", tmp_path, settings, outputs=outputs, place={"path": str(tmp_path / "dies.csv")})
    assert read_table(outputs["wafers"])["wafer_id"].tolist() == ["A", "B"]
    assert read_store(outputs["store"])[0].tolist() == [[1, 2]]


def test_grouped_folds(tmp_path):
    folder = study(tmp_path / "a", protocol="duplicate_cv3")
    audit = read_table(folder / "audit.parquet")
    assert audit[audit["check"].isin(["crossing_exact", "crossing_symmetric"])]["value"].sum() == 0


def test_simulated_lacks_a_class(tmp_path, capsys):
    with pytest.raises(SystemExit):
        study(tmp_path / "a", classes=("Center", "Donut"))
    assert "'Donut' not found in dataset.simulated.counts" in capsys.readouterr().err
