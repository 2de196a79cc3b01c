"""The four scripts in a row, as Snakemake would run them."""

import numpy as np
import pandas as pd
import pytest

from helpers.scripts import run_script
from waferbench.base.artifacts import read_provenance, read_table
from waferbench.base.tables import TABLES, WAFERS
from waferbench.config.stages import Ingest, MakeFolds, Nothing, Replicated, Run, SelectWafers
from waferbench.config.study import Simulated
from waferbench.wafers.store import read_store

COUNTS = {"Center": 12, "Loc": 11, "none": 5}
CLASSES = ("Center", "Loc")
SIMULATED = Simulated(counts=COUNTS, wafers_per_lot=5, duplicates=0.1)
DIES = "wafer,x,y,bin,class\nA,0,0,1,Loc\nA,1,0,7,Loc\nB,0,0,1,Center\nC,0,0,1,\n"


def study(folder, protocol="cv3", classes=CLASSES, replicated=None, most=10, **folds):
    """The folder, with the four tables and the store of a simulated study in it."""
    folder.mkdir()
    files = {name: folder / f"{name}.parquet" for name in ("wafers", "selected", "folds", "audit")}
    files["store"] = folder / "wafers.h5"
    run = {"protocol": protocol, "seed": 3}
    simulated = Ingest(source="simulated", classes=classes, simulated=SIMULATED, replicated=replicated, seed=3)
    for script, settings, inputs, outputs in (
        ("ingest", simulated, (), ("store", "wafers")),
        ("select_wafers", SelectWafers(classes=classes, max_per_class=most), ("wafers",), ("selected",)),
        ("make_folds", MakeFolds(**run, fold_seed=42, classes=classes, **folds), ("selected",), ("folds",)),
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


def test_replicates_have_sets_of_their_own(tmp_path):
    two = Replicated(count=2, test_per_class=7)
    folder = study(tmp_path / "a", "replicates2", replicated=two, most=0)
    wafers, folds = read_table(folder / "wafers.parquet"), read_table(folder / "folds.parquet")
    assert (folds["replicate"] == folds["fold"]).all() and set(folds["fold"]) == {0, 1}
    sizes = folds.merge(wafers, on="wafer_id").groupby(["fold", "split", "class"]).size()
    for fold in (0, 1):
        found = {split: sizes[fold, split].to_dict() for split in ("train", "val", "test")}
        assert found["train"] == {"Center": 10, "Loc": 9} and found["val"] == {"Center": 2, "Loc": 2}
        assert found["test"] == {"Center": 7, "Loc": 7}
    audit = read_table(folder / "audit.parquet").set_index("check")["value"]
    assert audit[["crossing_lots", "shared_lots"]].sum() == 0
    few = study(tmp_path / "b", "replicates2", replicated=two, most=6)
    sizes = read_table(few / "folds.parquet").groupby(["fold", "split"]).size()
    assert [sizes[1, split] for split in ("train", "val", "test")] == [12, 4, 12]


def test_the_reserve_of_a_real_study_comes_out_of_its_training_wafers(tmp_path):
    plain, less = study(tmp_path / "a", "cv3"), study(tmp_path / "b", "cv3", reserve=0.4)
    before, after = (read_table(folder / "folds.parquet") for folder in (plain, less))
    moved = before["split"] != after["split"]
    assert moved.any() and set(before[moved]["split"]) == {"train"} and set(after[moved]["split"]) == {"reserve"}
    audit = read_table(less / "audit.parquet")
    assert audit[(audit["split"] == "reserve") & audit["check"].str.startswith("crossing_exact")]["value"].sum() == 0


def test_a_cap_leaves_as_many_of_each_class_after_the_reserve_is_taken(tmp_path):
    kept = study(tmp_path / "a", "cv5", reserve=0.2)
    folder = study(tmp_path / "b", "cv5", reserve=0.2, max_train_per_class=2)
    before, after = (read_table(path / "folds.parquet") for path in (kept, folder))
    assert (before["split"] == "reserve").equals(after["split"] == "reserve"), "the cap takes of the reserve"
    sizes = after.merge(read_table(folder / "wafers.parquet"), on="wafer_id").groupby(["fold", "split", "label"]).size()
    assert (sizes.xs("train", level="split") == 2).all() and (sizes.xs("spare", level="split") > 0).any()
    audit = read_table(folder / "audit.parquet")
    spare = audit[(audit["split"] == "spare") & (audit["label"] == "")]["value"]
    assert spare.sum() == (after["split"] == "spare").sum()
