"""A job whose outputs were computed before is not computed; one that is not as planned adds nothing to a cache."""

import json
import os
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from helpers.scripts import snakemake
from waferbench.config.stages import Nothing
from waferbench.engine import codehash, interpreter, reuse
from waferbench.engine.codehash import code_digest
from waferbench.engine.job import Job, run


def job(folder: Path, cache: Path, script: Path, work, data: Path | None = None) -> None:
    """Run a job as Snakemake starts it, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    place = {"path": str(data), "identity": "of size and time"} if data else {}
    where = {"outputs": {"text": folder / "out.txt"}, "wildcards": {"scope": "fold0"}}
    with chdir(folder):
        given = snakemake("train", Nothing(), **where, place=place, code=code_digest(script), cache=str(cache))
        run(work, given, Nothing)


def writing(text: str):
    return lambda job: Path(job.output.text).write_text(text)


@pytest.fixture
def script(tmp_path: Path, monkeypatch) -> Path:
    script = tmp_path / "train.py"
    script.write_text("print(1)\n")
    reuse._code_now.cache_clear()  # as in a process of its own
    reuse._packages_now.cache_clear()
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(script))
    return script


def test_a_job_found_in_the_cache_is_not_computed(script: Path, tmp_path: Path):
    job(tmp_path / "a", tmp_path / "cache", script, writing("result"))
    job(tmp_path / "b", tmp_path / "cache", script, lambda job: pytest.fail("the job was computed again"))
    assert (tmp_path / "b" / "out.txt").read_text() == "result"
    where = "results/s/runs/train-fold0.json"
    records = [json.loads((tmp_path / name / where).read_text()) for name in "ab"]
    assert records[1].pop("fetched") and records[0] == records[1], "what it cost is what it cost its maker"


def test_a_script_edited_while_it_ran_adds_nothing(script: Path, tmp_path: Path, capsys):
    def edited(job):
        Path(job.output.text).write_text("of which code?")
        script.write_text("print(2)\n")
        codehash._file_digest.cache_clear()  # as in the process of a job, which has read nothing yet

    job(tmp_path / "a", tmp_path / "cache", script, edited)
    assert "not kept: code" in capsys.readouterr().err and not (tmp_path / "cache").exists()
    assert (tmp_path / "a/results/s/runs/train-fold0.json").exists()


def test_a_patched_interpreter_adds_nothing_to_a_cache(script: Path, tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "patches").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "patches"))
    job(tmp_path / "a", tmp_path / "cache", script, writing("of which packages?"))
    said = capsys.readouterr().err
    assert f"not kept: PYTHONPATH names {tmp_path / 'patches'}" in said
    assert not (tmp_path / "cache").exists() and not (tmp_path / "a/results/s/.store").exists()
    monkeypatch.setattr(interpreter, "CUSTOM", ())
    monkeypatch.delenv("PYTHONPATH")
    job(tmp_path / "b", tmp_path / "cache", script, writing("result"))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_may_be_another_result_elsewhere_is_kept_for_the_study_alone(script: Path, tmp_path: Path, capsys):
    def unshared(job):
        writing("of which weights?")(job)
        job.unshared("weights are not pinned")

    job(tmp_path / "a", tmp_path / "cache", script, unshared)
    assert f"not added to {tmp_path / 'cache'}: weights are not pinned" in capsys.readouterr().err
    job(tmp_path / "a", tmp_path / "cache", script, lambda job: pytest.fail("the study has it"))
    assert not (tmp_path / "cache").exists()


def test_what_a_job_is_not_sure_of_is_not_kept(script: Path, tmp_path: Path, capsys):
    def unsure(job):
        writing("of which base?")(job)
        job.unsure("the base is of no known revision")

    job(tmp_path / "a", tmp_path / "cache", script, unsure)
    assert "not kept: the base is of no known revision" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists() and not (tmp_path / "a/results/s/.store").exists()


def test_data_replaced_while_they_were_read_add_nothing(script: Path, tmp_path: Path, capsys):
    data = tmp_path / "data.csv"
    data.write_text("first")

    def replaced(job):
        Path(job.output.text).write_text("of which data?")
        data.write_text("other")

    job(tmp_path / "a", tmp_path / "cache", script, replaced, data)
    assert "data.csv has changed meanwhile" in capsys.readouterr().err and not (tmp_path / "cache").exists()


def test_a_folder_of_data_counts_by_its_content_and_not_by_its_place_or_times(tmp_path: Path):
    for name, dies in (("mine", b"0120"), ("moved", b"0120"), ("other", b"0210")):
        (tmp_path / name / "Scratch").mkdir(parents=True)
        (tmp_path / name / "Scratch" / "1.npy").write_bytes(dies)
        os.utime(tmp_path / name / "Scratch" / "1.npy", (1000, 1000))
    places = [{"path": str(tmp_path / name)} for name in ("mine", "moved", "other")]
    made_from = [Job(snakemake("ingest", Nothing(), place=place), Nothing).made_from for place in places]
    assert made_from[0] == made_from[1] != made_from[2]


def test_a_job_that_failed_adds_nothing(script: Path, tmp_path: Path):
    def failing(job):
        Path(job.output.text).write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        job(tmp_path / "a", tmp_path / "cache", script, failing)
    assert not (tmp_path / "cache").exists()


def test_another_version_finds_what_this_one_made(script: Path, tmp_path: Path, monkeypatch):
    job(tmp_path / "a", tmp_path / "cache", script, writing("result"))
    monkeypatch.setattr("waferbench.engine.job.VERSION", "9.9.9")
    job(tmp_path / "b", tmp_path / "cache", script, lambda job: pytest.fail("a version decides no byte"))
