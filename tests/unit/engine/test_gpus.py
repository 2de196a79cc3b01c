"""Each GPU job has a device of its own, however jobs end."""

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waferbench.engine import gpus, machine

SCRIPTS = str(Path(gpus.__file__).parents[2])
JOB = """
import sys, time
sys.path.insert(0, {scripts!r})
from waferbench.engine.gpus import claim
(device,) = claim(1, {folder!r})
start = time.monotonic()
print("has", device, flush=True)
time.sleep({seconds})
print(start, time.monotonic())
"""


def start(folder: Path, seconds: float, **environment: str) -> subprocess.Popen:
    job = JOB.format(scripts=SCRIPTS, folder=str(folder), seconds=seconds)
    clean = {k: v for k, v in os.environ.items() if k not in (machine.VISIBLE, *machine.SCHEDULERS)}
    return subprocess.Popen(
        [sys.executable, "-c", job],
        env={**clean, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_many_short_jobs_never_share_a_device_and_use_all(tmp_path):
    jobs = [start(tmp_path, 0.05, CUDA_VISIBLE_DEVICES="0,GPU-abc,7") for _ in range(40)]
    times: dict[str, list] = {"0": [], "GPU-abc": [], "7": []}
    for job in jobs:
        told, errors = job.communicate(timeout=60)
        assert job.returncode == 0, errors
        first, second = told.splitlines()
        times[first.split()[1]].append(tuple(map(float, second.split())))
    assert all(times.values()), "a device was never used"
    for device, spans in times.items():
        spans.sort()
        for (_, end), (begin, _) in itertools.pairwise(spans):
            assert end <= begin, f"two jobs had device {device} at once"


def test_a_killed_job_frees_its_device(tmp_path):
    for _ in range(5):
        holder = start(tmp_path, 60, CUDA_VISIBLE_DEVICES="3")
        assert holder.stdout.readline() == "has 3\n"
        waiting = start(tmp_path, 0, CUDA_VISIBLE_DEVICES="3")
        assert "waiting: none of the GPUs 3 is free" in waiting.stderr.readline()
        time.sleep(0.3)
        assert waiting.poll() is None, "it must wait while the device is held"
        holder.send_signal(signal.SIGKILL)
        assert waiting.communicate(timeout=20)[0].startswith("has 3\n")
        holder.communicate()


def test_allocations_of_a_cluster_number_their_devices_each_for_itself(tmp_path):
    jobs = [start(tmp_path, 30, CUDA_VISIBLE_DEVICES="0", SLURM_JOB_ID=number) for number in ("11", "12")]
    try:
        assert [job.stdout.readline() for job in jobs] == ["has 0\n"] * 2
    finally:
        for job in jobs:
            job.kill()
            job.communicate()


@pytest.fixture
def no_scheduler(monkeypatch):
    for name in (machine.VISIBLE, *machine.SCHEDULERS):
        monkeypatch.delenv(name, raising=False)


def test_devices_set_from_outside_are_the_only_ones(tmp_path, monkeypatch, no_scheduler):
    monkeypatch.setenv(machine.VISIBLE, "5, MIG-x")
    assert gpus.claim(2, tmp_path) == ["5", "MIG-x"] and os.environ[machine.VISIBLE] == "5,MIG-x"


@pytest.mark.parametrize("hidden", ["", "-1", "NoDevFiles"])
def test_hidden_devices_stay_hidden(hidden, tmp_path, monkeypatch, no_scheduler):
    monkeypatch.setenv(machine.VISIBLE, hidden)
    assert gpus.claim(1, tmp_path) == [] and os.environ[machine.VISIBLE] == hidden
    assert list(tmp_path.iterdir()) == []


def test_without_a_variable_all_nodes_of_the_driver_count(monkeypatch, no_scheduler):
    nodes = [Path("/dev/nvidia0"), Path("/dev/nvidia3")]
    monkeypatch.setattr(machine.Path, "glob", lambda self, pattern: iter(nodes))
    assert machine.gpu_devices() == ["0", "1"], "in a container CUDA counts what it sees"


def test_a_job_takes_all_it_needs_or_nothing(tmp_path, monkeypatch, no_scheduler):
    holder = start(tmp_path, 60, CUDA_VISIBLE_DEVICES="1")
    try:
        holder.stdout.readline()
        assert gpus._try(["0", "1"], 2, tmp_path) == []
        assert gpus._try(["0", "1"], 1, tmp_path) == ["0"]
    finally:
        holder.kill()
        holder.communicate()


def test_locks_are_open_to_every_user_whatever_the_umask_and_long_gone_allocations_are_swept(
    tmp_path, monkeypatch, no_scheduler
):
    monkeypatch.setenv(machine.VISIBLE, "0")
    for name, days in (("11", 31), ("12", 1)):
        (tmp_path / "locks" / name).mkdir(parents=True)
        os.utime(tmp_path / "locks" / name, (time.time() - days * 86400,) * 2)
    monkeypatch.setenv("SLURM_JOB_ID", "13")
    before = os.umask(0o077)
    try:
        gpus.claim(1, tmp_path / "locks")
    finally:
        assert os.umask(before) == 0o077
    assert sorted(place.name for place in (tmp_path / "locks").iterdir()) == ["12", "13"]
    assert (tmp_path / "locks/13").stat().st_mode & 0o7777 == 0o1777
    assert (tmp_path / "locks/13/0.lock").stat().st_mode & 0o777 == 0o644
