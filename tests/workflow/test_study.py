"""The tiny study from end to end: its contract, its leak-freeness, its errors."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import UNPLUGGED, Study, as_a_process, may_unplug
from safetensors.numpy import load_file

from check_study import check
from waferbench.base.artifacts import read_h5, read_provenance, write_h5
from waferbench.engine.version import VERSION
from waferbench.wafers.leakage import fitted_on

pytestmark = pytest.mark.workflow


def test_the_finished_study_keeps_its_contract(finished: Study):
    tables = check(finished.results)
    scores = tables["scores"]
    assert set(scores["condition"]) == {"real", "oracle", "gan", "lora", "die_flow"}
    assert (scores["replicate"] == 0).all() and (scores["steps"] == 8).all()
    assert (scores.query("condition != 'real'")["n_train_synthetic"] == 11).all(), "not what the budget says"


def test_the_oracle_adds_wafers_that_nothing_else_has_seen(finished: Study):
    folds, wafers = (pd.read_parquet(finished.results / p) for p in ("folds.parquet", "data/wafers.parquet"))
    folds = folds[folds["fold"] == 0]
    kept = folds[folds["split"] == "reserve"]["wafer_id"]
    used = folds[folds["split"] != "reserve"]["wafer_id"]
    own = wafers.set_index("wafer_id")["canonical"]
    assert len(kept) > 15 and not set(own[kept]) & set(own[used]), "a copy of one is trained or tested on"
    raw = finished.results / "duplicate_cv5/seed42/fold0/sources/oracle/raw"
    drawn = [file for file in sorted(raw.glob("*.h5")) if len(read_h5(file, ["images"])["images"]) >= 3]
    assert len(drawn) == 3 and {read_provenance(file)["n_fitted"] for file in drawn} == {len(kept)}


@pytest.mark.parametrize("setting, status", [("svm.C=1", 0), ("svm.CC=1", 1)])
def test_a_dry_run_that_is_a_fork_says_what_a_process_says(setting: str, status: int, finished: Study):
    def lines(output: str) -> list[list[str]]:
        """In the order of the alphabet, and so their words: Snakemake tells reasons and streams in any order."""
        own = ("  Date:", "  Workflow ID:", "  Command:", "  Run directory:")  # where Python was started
        told = [re.sub(r"\[\w+ \w+ .*?\d{4}\]", "", line) for line in output.splitlines() if not line.startswith(own)]
        return sorted(sorted(line.replace(",", " ").split()) for line in told)

    asked = ("-n", "--config", f"set={setting}")
    found, said = as_a_process(finished.command(*asked), finished.folder)
    assert found == status and lines(finished.snakemake(*asked, expect=status)) == lines(said)


def test_the_study_needed_no_network(finished: Study):
    if not may_unplug():
        pytest.skip("this machine allows no network namespace (unshare --net)")
    links = subprocess.check_output([*UNPLUGGED, "cat", "/proc/net/dev"], text=True).splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"], "it was not unplugged"
    routes = subprocess.check_output([*UNPLUGGED, "cat", "/proc/net/route"], text=True).splitlines()[1:]
    assert routes == []
    assert (finished.results / "report.html").exists()


def fitted_artifacts(study: Study) -> dict[str, Path]:
    run = study.results / "duplicate_cv5/seed42/fold0"
    files = [
        *run.glob("sources/**/*.safetensors"),
        *run.glob("shape/*.safetensors"),
        *run.glob("cells/**/*.safetensors"),
    ]
    return {str(file.relative_to(run)): file for file in files}


def test_every_fitted_artifact_says_it_saw_the_training_wafers_alone(finished: Study):
    folds = pd.read_parquet(finished.results / "folds.parquet")
    training = folds[(folds["fold"] == 0) & (folds["split"] == "train")]
    expected = fitted_on(training)["fitted_on"]
    files = fitted_artifacts(finished)
    kinds = Counter(Path(name).parent.name if "cells" not in name else "cells" for name in files)
    assert kinds == {"gan": 1, "generators": 3, "adapters": 3, "die_flow": 1, "shape": 1, "cells": 5}
    for name, file in files.items():
        assert read_provenance(file)["fitted_on"] == expected, name
    base = read_provenance(finished.results / "bases/lora/base/waferbench.json")
    assert base["pretrained_on"]["variant"] == "standard" and not {"fitted_on", "n_fitted"} & base.keys()


def test_changed_test_wafers_change_nothing_that_was_fitted(finished: Study, tmp_path: Path):
    """Invert every die of the test wafers: each generator, filter, classifier and SVM must come out the same."""
    study = finished.copy(tmp_path / "study")
    drawn = study.results / "duplicate_cv5/seed42/fold0/sources/die_flow/raw/scratch.h5"
    maps = h5py.File(drawn)["flat"][()]
    before = {name: load_file(file) for name, file in fitted_artifacts(study).items()}
    stamps = {name: file.stat().st_mtime_ns for name, file in fitted_artifacts(study).items()}
    svms = sorted(study.results.glob("duplicate_cv5/seed42/fold0/cells/**/svm.h5"))
    machines = [{k: v[()] for k, v in h5py.File(file).items()} for file in svms]
    folds, wafers = (pd.read_parquet(study.results / p) for p in ("folds.parquet", "data/wafers.parquet"))
    test = folds[(folds["fold"] == 0) & (folds["split"] == "test")]["wafer_id"]
    path = study.results / "data/wafers.h5"
    arrays, provenance = read_h5(path), read_provenance(path)
    for row in wafers[wafers["wafer_id"].isin(test)]["row"]:
        part = arrays["flat"][slice(*arrays["offsets"][row : row + 2])]
        part[:] = np.where(part == 0, 0, 3 - part)
    write_h5(path, arrays, provenance)
    targets = [str(file.relative_to(study.folder)) for file in svms]
    predictions = pd.read_parquet(svms[0].with_name("softmax.parquet"))
    study.snakemake(*targets)
    assert np.array_equal(maps, h5py.File(drawn)["flat"][()]), "the die flow's samples depend on test wafers"
    after = {name: load_file(file) for name, file in fitted_artifacts(study).items()}
    assert before.keys() == after.keys() and len(before) >= 10
    assert all(stamps[name] != file.stat().st_mtime_ns for name, file in fitted_artifacts(study).items())
    for name, tensors in before.items():
        for key, tensor in tensors.items():
            assert np.array_equal(tensor, after[name][key]), f"{name}: {key} depends on test wafers"
    for file, machine in zip(svms, machines, strict=True):
        for key, array in machine.items():
            assert np.array_equal(array, h5py.File(file)[key][()]), f"{file}: {key} depends on test wafers"
    probabilities = [c for c in predictions if c.startswith("p_")]
    changed = pd.read_parquet(svms[0].with_name("softmax.parquet"))
    assert not np.allclose(predictions[probabilities], changed[probabilities]), "the test wafers were not changed"


def test_a_source_added_later_adds_its_own_work_and_a_new_filter_draws_nothing_anew(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    shards = {path: path.stat().st_mtime_ns for path in study.results.rglob("shards/**/*.h5")}
    generator = study.results / "duplicate_cv5/seed42/fold0/sources/gan/generators/center.safetensors"
    stamp = generator.stat().st_mtime_ns
    study.snakemake("--config", "set=conditions=[real,oracle,gan,lora,die_flow,die_lora] shape_filter.decide=cnn")
    tables = check(study.results)
    assert len(tables["scores"].query("condition == 'die_lora'")) == 2
    assert {"oracle", "gan", "lora", "die_flow", "die_lora"} == set(tables["quality"]["source"])
    raw = study.results / "duplicate_cv5/seed42/fold0/sources/die_lora/raw/center.h5"
    with h5py.File(raw) as file:
        assert set(np.unique(file["flat"])) <= {0, 1, 2} and len(file["shapes"]) == len(file["images"]) == 8
    made = read_provenance(raw)
    assert made["pool"] == {"drawn": 8, "accepted": 8, "stopped_by": "n_accepted"}
    others = ("die_lora/adapters/center.safetensors", "gan/raw/center.h5")
    assert {read_provenance(raw.parents[2] / name)["fitted_on"] for name in others} == {made["fitted_on"]}
    assert stamp == generator.stat().st_mtime_ns
    assert len(shards) == 3 * 2 * 3, "of gan, lora and die_flow, two shards a class"
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in shards.items() if path.exists())
    assert sum(path.exists() for path in shards) == len(shards)


def test_another_protocol_adds_only_its_own_cells(finished: Study):
    plan = finished.planned("--config", "set=folds.protocols=[duplicate_cv5,holdout_80_10_10]")
    assert (plan["train_classifier"], plan["make_folds"], plan["train_gan"]) == (5, 1, 1)
    assert not {"select_wafers", "pretrain_base"} & plan.keys()


def test_nine_classes_are_told_apart_and_a_leaky_split_leaks(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    settings = "folds.protocols=[nine_class_70_30,leaky_80_20] conditions=[real,gan]"
    names = ("scores", "folds", "audit", "per_class", "predictions")
    study.snakemake(*(f"results/tiny/{name}.parquet" for name in names), "--config", f"set={settings}")
    tables = {name: pd.read_parquet(study.results / f"{name}.parquet") for name in names}
    assert set(tables["scores"]["protocol"]) == {"nine_class_70_30", "leaky_80_20"} and len(tables["scores"]) == 8
    labels = tables["per_class"].groupby("protocol")["label"].agg(set)
    assert labels["nine_class_70_30"] - labels["leaky_80_20"] == {"none"}
    folds = tables["folds"]
    nine = folds[folds["protocol"] == "nine_class_70_30"]["split"].value_counts(normalize=True)
    assert nine.round(1).to_dict() == {"train": 0.6, "test": 0.3, "val": 0.1}
    leaky = tables["predictions"].query("protocol == 'leaky_80_20' and condition == 'gan'")
    assert leaky["wafer_id"].str.startswith("gan/").any(), "a split made after wafers were added tests some of them"
    rest = tables["predictions"].query("protocol != 'leaky_80_20'")
    assert not rest["wafer_id"].str.contains("/").any(), "no other protocol tests on synthetic wafers"
    saw = read_provenance(study.results / "pooled/seed42/pooled/sources/gan/stage1.safetensors")
    assert saw["n_fitted"] == (folds["protocol"] == "leaky_80_20").sum()


def test_repeats_plan_every_seed_on_the_same_data(finished: Study):
    plan = finished.planned("--config", "set=repeats=3")
    assert (plan["train_classifier"], plan["train_gan"], plan["make_folds"]) == (10, 2, 2)
    assert not {"ingest", "select_wafers", "pretrain_base"} & plan.keys()


def test_grouped_folds_part_no_duplicates(finished: Study):
    folds, wafers = (pd.read_parquet(finished.results / p) for p in ("folds.parquet", "data/wafers.parquet"))
    assert wafers["canonical"].duplicated().any(), "the data holds no duplicates to part"
    rows = folds[folds["fold"] == 0].merge(wafers, on="wafer_id")
    parts = [set(rows[rows["split"] == split]["canonical"]) for split in ("train", "val", "test")]
    assert not (parts[0] & parts[2] or parts[1] & parts[2] or parts[0] & parts[1])


def test_the_log_says_where_a_network_was_trained(finished: Study):
    log = (finished.results / "logs/duplicate_cv5-seed42-train_gan-fold0-gan.log").read_text()
    assert "running on" in log
    assert ("running on the CPU" in log) == (not torch.cuda.is_available())


@pytest.mark.parametrize(
    "setting, told",
    [
        ("svm.CC=1", "unknown key 'svm.CC' (did you mean 'C'?)"),
        ("folds.run=[9]", "folds.run: found fold 9"),
        ("dataset.path=nowhere.npz", "nothing at nowhere.npz"),
        ("classifier.steps=0", "classifier.steps: found 0, expected at least 1"),
        ("oracle.reserve=0", "set it to a share of the training wafers such as 0.3"),
        ("folds.protocols=[replicates2]", "simulated"),
        ("define.conditions.gan.exclude=[Scratch]", "which budget.equal = true refuses"),
        ("backbones=[resnet_fifty]", "'resnet_fifty' is not in define.backbones"),
    ],
)
def test_bad_settings_stop_before_any_job(setting: str, told: str, finished: Study):
    output = finished.snakemake("-n", "--config", f"set={setting}", expect=1)
    assert told in output and "Traceback" not in output


def test_an_unknown_network_is_named(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    (study.folder / "overlay.yaml").write_text(
        "backbones: [test_resnet.r160_in1k, resnet_fifty]\ndefine: {backbones: {resnet_fifty: {pretrained: false}}}\n"
    )
    overlays = ("tests/config/tiny.yaml", "overlay.yaml")
    output = study.snakemake("results/tiny/networks.json", overlays=overlays, expect=1)
    assert "backbone 'resnet_fifty': timm" in output and "has no such network" in output


def test_a_class_with_fewer_wafers_than_folds_is_named(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    shutil.rmtree(study.results)
    table = "results/tiny/duplicate_cv5/seed42/folds.parquet"
    output = study.snakemake(table, "--config", "set=filter.max_per_class=3", expect=1)
    assert "fewer than the 5 folds of the protocol" in output


@pytest.mark.parametrize("name", ["007", "2025_10", "1e3"])
def test_a_study_of_digits_is_refused_with_the_spelling_that_works(name: str, finished: Study):
    output = finished.snakemake("-n", "--config", f"study={name}", expect=1)
    assert "--config set='study=007'" in output and "Traceback" not in output
    output = finished.snakemake("-n", "--config", f"set=study={name}")
    assert f"results/{name}/" in output


def test_a_study_of_another_version_says_which(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    target = "results/tiny/networks.json"
    assert "made by waferbench" not in study.snakemake(target, "--force")
    for record in (study.results / "runs").glob("*.json"):
        record.write_text(record.read_text().replace(f'"version": "{VERSION}"', '"version": "0.9.1"'))
    output = study.snakemake(target, "--force")
    assert f"results/tiny: made by waferbench 0.9.1, this is {VERSION}" in output
    assert read_provenance(study.folder / target)["made_by"] == f"waferbench {VERSION}"
