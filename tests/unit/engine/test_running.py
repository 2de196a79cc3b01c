"""Markers of running jobs."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from helpers.scripts import snakemake
from waferbench.config.stages import Nothing
from waferbench.engine.job import run
from waferbench.engine.running import mark, markers, parted
from waferbench.engine.version import VERSION


def given():
    return snakemake("fit", Nothing(), wildcards={"fold": "0"})


def test_a_job_is_marked_while_it_runs_and_recorded_when_it_has_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "results/s/runs"

    def work(_):
        (job,) = markers(runs)
        assert (job.name, job.rule, job.pid, job.alive) == ("fit-0", "fit", os.getpid(), True)

    run(work, given(), Nothing)
    assert not markers(runs)
    record = json.loads((runs / "fit-0.json").read_text())
    assert record["startup_seconds"] > 0, "the process is older than its job"
    assert record["version"] == VERSION


def test_a_failed_job_leaves_no_marker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        run(lambda job: 1 / 0, given(), Nothing)
    assert not markers(tmp_path / "results/s/runs") and not list((tmp_path / "results/s/runs").glob("*.json"))


def test_a_killed_job_is_told_from_a_running_one(tmp_path):
    script = "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path;"
    script += "from waferbench.engine.running import mark;"
    script += "mark(Path(sys.argv[1]), 'killed', 'fit', 1); import os; os.kill(os.getpid(), 9)"
    library = str(next(p for p in map(str, sys.path) if p.endswith("workflow/scripts")))
    subprocess.run([sys.executable, "-c", script, str(tmp_path), library])
    mark(tmp_path, "mine", "fit", 0)
    alive, dead = parted(markers(tmp_path))
    assert [job.name for job in alive] == ["mine"] and [job.name for job in dead] == ["killed"]


def test_a_process_number_given_anew_is_no_running_job(tmp_path):
    mark(tmp_path, "mine", "fit", 0)
    (job,) = markers(tmp_path)
    assert not replace(job, birth=job.birth + "0").alive
    assert not replace(job, pid=2**22 + 1).alive, "there is no such process"
    assert replace(job, host="elsewhere", pid=1).alive, "nothing is known of another host"


def test_a_clock_that_jumps_kills_no_running_job(tmp_path, monkeypatch):
    mark(tmp_path, "mine", "fit", 0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 90 * 24 * 3600)
    (job,) = markers(tmp_path)
    assert job.alive and job.started < now


def test_a_torn_marker_is_passed_over(tmp_path):
    (tmp_path / "torn.running").write_text('{"name": ')
    assert markers(tmp_path) == []
