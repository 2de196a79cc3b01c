"""A job's files, its parts, and what it is known by."""

import json
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest

from helpers.scripts import snakemake
from waferbench.base.artifacts import read_json, write_json, write_table
from waferbench.base.errors import InputError
from waferbench.base.seals import payload_digest
from waferbench.config.stages import Nothing
from waferbench.engine import gpus
from waferbench.engine import job as job_module
from waferbench.engine.job import Files, Job, run


def test_files_are_reached_by_name_and_by_position():
    files = Files({"store": "a.h5", "cells": ["b.h5", "c.h5"]})
    assert (files.store, files.cells) == ("a.h5", ["b.h5", "c.h5"])
    assert (files[0], files[2], files["store"]) == ("a.h5", "c.h5", "a.h5")
    assert list(files) == ["a.h5", "b.h5", "c.h5"] and files.get("scores") is None
    with pytest.raises(AttributeError, match="names no file 'scores'"):
        files.scores  # noqa: B018


def test_a_part_has_its_share_of_each_list_and_what_all_share():
    files = Files({"store": "a.h5", "samples": ["1", "2", "3", "4"], "scores": ["x", "y"]})
    assert files.of(1, 2).named == {"store": "a.h5", "samples": ["3", "4"], "scores": "y"}
    with pytest.raises(ValueError, match="4 files for 3 parts"):
        files.of(0, 3)


@pytest.fixture
def features(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "results/s"
    for name in "abc":
        write_json(folder / f"{name}.json", {"feature": name})
    return [folder / f"{name}.json" for name in "abc"]


def fit(folder: Path, features: list[Path], work, resources: dict | None = None, **changes) -> None:
    """Run a job of a part for each of these."""
    parts = [{"cell": file.stem} for file in features]
    outputs = {"model": [folder / f"results/s/{file.stem}.out.json" for file in features]}
    given = snakemake("fit", Nothing(), {"features": features}, outputs, {"fold": "0"}, **changes)
    given.params.parts = json.dumps(parts)
    given.resources = resources or {}
    with chdir(folder):
        run(work, given, Nothing)


def fitting(job: Job) -> None:
    facts = {"of": read_json(job.input.features)["feature"], "cell": job.wildcards["cell"]}
    write_json(job.output.model, facts, job.provenance)


@pytest.fixture
def planned(monkeypatch):
    """As if the code were that of the plan."""
    monkeypatch.setattr("waferbench.engine.reuse._code_now", lambda: "0")
    monkeypatch.setattr("waferbench.engine.reuse.patched", lambda: "")


def test_each_part_of_a_job_is_made_recorded_and_kept_by_itself(tmp_path: Path, features, planned):
    fit(tmp_path, features[:2], fitting)
    made = [read_json(tmp_path / f"results/s/{name}.out.json") for name in "ab"]
    assert made == [{"of": "a", "cell": "a"}, {"of": "b", "cell": "b"}]
    records = [json.loads((tmp_path / f"results/s/runs/fit-0-{name}.json").read_text()) for name in "ab"]
    assert [record["wildcards"] for record in records] == [{"fold": "0", "cell": "a"}, {"fold": "0", "cell": "b"}]
    assert {record["job"] for record in records} == {"fit-0"}

    computed = []
    fit(tmp_path, features, lambda job: (computed.append(job.wildcards["cell"]), fitting(job)))
    assert computed == ["c"], "what other parts a job has changes none of them"


def test_what_was_made_before_a_failure_is_not_made_again(tmp_path: Path, features, planned):
    def failing(job):
        if job.wildcards["cell"] == "c":
            raise InputError("no such cell")
        fitting(job)

    with pytest.raises(SystemExit):
        fit(tmp_path, features, failing)
    for file in (tmp_path / "results/s").glob("*.out.json"):
        file.unlink()  # as Snakemake does with the outputs of a failed job
    computed = []
    fit(tmp_path, features, lambda job: (computed.append(job.wildcards["cell"]), fitting(job)))
    assert computed == ["c"] and len(list((tmp_path / "results/s").glob("*.out.json"))) == 3


def test_all_parts_of_a_job_run_on_the_gpu_that_the_first_has_taken(tmp_path: Path, features, planned, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("WAFERBENCH_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setattr(gpus, "_held", [])
    monkeypatch.setattr(gpus, "PATIENCE", 0.0)
    monkeypatch.setattr(gpus.time, "sleep", lambda _: pytest.fail("it waits for a GPU that it has itself"))
    job_module._claim.cache_clear()
    fit(tmp_path, features, fitting, resources={"gpu": 1})
    assert len(gpus._held) == 1
    job_module._claim.cache_clear()


def test_what_all_parts_share_is_made_once_a_job(tmp_path: Path, features, planned):
    made, given = [], []

    def making(job):
        made.append((job.input.features, job.wildcards))
        return object()

    def asking(job):
        given.append(job.once("network", making))
        fitting(job)

    fit(tmp_path, features, asking, store={"reuse": False})
    assert len(made) == 1 and len(given) == 3 and len(set(map(id, given))) == 1
    assert len(made[0][0]) == 3 and made[0][1] == {"fold": "0"}, "made of no part's own files"
    fit(tmp_path, features, asking, store={"reuse": False})
    assert len(made) == 2, "another job makes its own"


def test_an_error_names_the_part(tmp_path: Path, features, planned, capsys):
    def failing(job):
        raise InputError("no such cell")

    with pytest.raises(SystemExit):
        fit(tmp_path, features[1:], failing)
    assert "fit-0-b: no such cell" in capsys.readouterr().err


def test_without_reuse_everything_is_computed_again_and_nothing_kept(tmp_path: Path, features, planned):
    computed = []
    for _ in range(2):
        fit(tmp_path, features, lambda job: (computed.append(1), fitting(job)), store={"reuse": False})
    assert len(computed) == 6 and not (tmp_path / "results/s/.store").exists()


def test_a_job_is_known_by_the_payloads_of_its_inputs(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made_from = []
    for i, code in enumerate("12"):
        file = Path(f"results/s/{i}/selected.parquet")
        write_table(file, pd.DataFrame({"wafer_id": ["a", None], "n": [1.5, 2.0]}), {"rule": "select", "code": code})
        made_from.append(Job(snakemake("fit", Nothing(), {"selected": file}), Nothing).made_from)
    first, second = (Path(f"results/s/{i}/selected.parquet") for i in range(2))
    assert first.read_bytes() != second.read_bytes() and payload_digest(first) == payload_digest(second)
    assert made_from[0] == made_from[1]


def test_a_damaged_input_is_named_before_anything_is_computed(tmp_path: Path, features, capsys):
    features[0].write_bytes(features[0].read_bytes().replace(b'"a"', b'"b"'))
    with pytest.raises(SystemExit):
        fit(tmp_path, features[:1], lambda job: pytest.fail("it was computed"))
    assert "a.json: damaged" in capsys.readouterr().err
