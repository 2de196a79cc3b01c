"""Processes are killed at random moments: the study ends with the very same bytes and repeats only what was killed."""

import contextlib
import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import Study, artifacts, differing

pytestmark = pytest.mark.workflow

SCRIPT = re.compile(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py")
FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)", re.M)  # with one condition a rule has one job
GATHER = ("gather_quality", "gather_agreement", "gather_shape_filter", "gather_texture", "gather_reconstruction")
SCRIPTS = {"select_wafers_with_none": "select_wafers", **dict.fromkeys(GATHER, "gather_table")}  # where not the rule's
REAL = ("--config", "set=conditions=[real]")


def running(folder: Path) -> dict[int, str]:
    """pid -> script of the jobs that run in a folder."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (place / "cmdline").read_bytes().decode(errors="replace")
            script = SCRIPT.search(line)
            if script and str(folder) in line:
                found[int(place.name)] = script.group(1)
    return found


def processor_seconds(pid: int) -> float:
    """What a process has used so far; how fast it lives does not depend on what else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in this very moment
        os.kill(pid, signal.SIGKILL)


class Killer(threading.Thread):
    """Kills one process of each script at a random moment of its life, and counts them.

    Args:
        seconds: of processor time that each script takes.
    """

    def __init__(self, study: Study, seconds: dict[str, float], seed: int):
        super().__init__(daemon=True)
        self.study, self.random = study, random.Random(seed)
        self.due = {script: self.random.uniform(0, 0.9 * took) for script, took in sorted(seconds.items())}
        self.killed: Counter[str] = Counter()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            for pid, script in running(self.study.folder).items():
                with contextlib.suppress(OSError):  # it ended in this very moment
                    if not self.killed[script] and processor_seconds(pid) >= self.due[script]:
                        kill(pid)
                        self.killed[script] += 1
            time.sleep(0.02)


def wait_for_a_job(study: Study) -> dict[int, str]:
    until = time.monotonic() + 60
    while not (jobs := running(study.folder)):
        assert time.monotonic() < until, "no job began"
        time.sleep(0.05)
    return jobs


def records(study: Study) -> dict[Path, dict]:
    return {path: json.loads(path.read_text()) for path in (study.results / "runs").glob("*.json")}


def whole_jobs(study: Study) -> Counter[tuple[str, str]]:
    """(rule, job) -> processor seconds of all parts of a job."""
    jobs: Counter[tuple[str, str]] = Counter()
    for record in records(study).values():
        jobs[record["rule"], record["job"]] += record["cpu_seconds"]
    return jobs


def test_every_stage_is_killed_once_and_the_study_ends_with_the_same_bytes(finished: Study, tmp_path: Path):
    study = finished.fresh(tmp_path / "study")
    seconds = {SCRIPTS.get(rule, rule): used for (rule, _), used in whole_jobs(finished).items()}
    killer = Killer(study, seconds, seed=1)
    killer.start()
    output = study.snakemake("--retries", "3")
    killer.done.set()
    started = Counter(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", output, re.M))
    jobs = Counter(rule for rule, _ in whole_jobs(study))
    repeated = {rule: started[rule] - n for rule, n in jobs.items() if started[rule] != n}
    quicker = set(seconds) - set(killer.killed)  # than in the run before: they ended before their moment
    assert len(quicker) <= 3 and len(seconds) >= 25, f"stages that were not killed: {quicker}"
    assert set(repeated.values()) == {1} and sum(repeated.values()) <= sum(killer.killed.values()), repeated
    assert sum(repeated.values()) >= 0.8 * len(killer.killed), "jobs ended as they were killed, too few counted"
    assert differing(study, finished) == []
    assert not list(study.results.rglob("*.partial")), "a killed job left half a file"


def test_snakemake_is_killed_alone_and_with_its_jobs_and_the_next_run_goes_on(finished: Study, tmp_path: Path):
    study, chance = finished.fresh(tmp_path / "study"), random.Random(2)
    target, known, finished_before = "results/tiny/scores.parquet", set(), {}
    for together in (False, True, False):
        process = study.start(target, *REAL)
        jobs = wait_for_a_job(study)
        time.sleep(chance.uniform(0, 6))
        jobs |= running(study.folder)
        kill(process.pid)
        for pid in jobs if together else ():
            kill(pid)
        told, _ = process.communicate()
        until = time.monotonic() + 20
        while running(study.folder):
            assert time.monotonic() < until, "a job trains on though its Snakemake is gone"
            time.sleep(0.05)
        now = records(study)
        for path, record in finished_before.items():
            assert now[path] == record, f"{path.name}: a finished job was repeated"
        known |= set(FINISHED.findall(told))  # a job may have ended in the moment of the kill, before Snakemake knew
        finished_before = {path: record for path, record in now.items() if record["rule"] in known}
        assert "unlock" in study.snakemake(target, *REAL, expect=1), (
            "a killed run leaves its lock, and Snakemake says so"
        )
        study.snakemake("--unlock", *REAL)
    study.snakemake(target, *REAL)
    assert finished_before, "no job was finished before the last kill"
    for path, record in finished_before.items():
        assert records(study)[path] == record, f"{path.name}: a finished job was repeated"
    unbroken = finished.copy(tmp_path / "unbroken")  # of which all wafers train, as nothing is kept for an oracle
    unbroken.snakemake(target, *REAL)
    mine, theirs = artifacts(study), artifacts(unbroken)
    shared = [name for name in mine if "/cells/" in name or name.startswith("data/")]
    assert len(shared) > 8 and all(mine[name] == theirs[name] for name in shared)
