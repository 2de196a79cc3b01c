"""Each GPU job has a device of its own, however jobs end."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from waferbench.base.errors import InputError
from waferbench.engine import gpus, machine
from waferbench.engine.guarded import Folder

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
        with Folder.at(tmp_path) as locks:
            assert gpus._try(["0", "1"], 2, locks, tmp_path) == []
            assert gpus._try(["0", "1"], 1, locks, tmp_path) == ["0"]
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


@pytest.fixture
def one_gpu(monkeypatch, no_scheduler):
    monkeypatch.setenv(machine.VISIBLE, "0")


def old(path: Path) -> Path:
    """Folders that were last changed forty days ago."""
    os.utime(path, (time.time() - 40 * 86400,) * 2)
    return path


def test_a_link_in_place_of_the_locks_is_refused_and_nothing_behind_it_is_touched(tmp_path, one_gpu):
    home = tmp_path / "home"
    (home / "old").mkdir(parents=True)
    (home / "old" / "work").write_text("years of it")
    old(home / "old")
    (tmp_path / "locks").symlink_to(home)
    with pytest.raises(
        InputError, match=r"locks: no folder for the locks of GPUs \(locks is a link, expected a folder"
    ):
        gpus.claim(1, tmp_path / "locks")
    assert [path.name for path in home.iterdir()] == ["old"] and (home / "old" / "work").exists()


def test_sweeping_removes_locks_and_emptied_folders_alone(tmp_path, one_gpu):
    locks, home = tmp_path / "locks", tmp_path / "home"
    home.mkdir()
    (home / "0.lock").write_text("mine")
    for name, files in (("11", ["0.lock", "1.lock"]), ("12", ["0.lock", "thesis.tex"]), ("13", ["deep/0.lock"])):
        for file in files:
            (locks / name / file).parent.mkdir(parents=True, exist_ok=True)
            (locks / name / file).touch()
    (locks / "14").symlink_to(home)
    (locks / "15").mkdir()
    (locks / "15" / "0.lock").symlink_to(home / "0.lock")
    (locks / "thesis.tex").touch()
    for path in (*locks.iterdir(), home):
        old(path)
    gpus.claim(1, locks)
    assert sorted(path.name for path in locks.iterdir()) == ["0.lock", "12", "13", "14", "thesis.tex"]
    assert [path.name for path in (locks / "12").iterdir()] == ["thesis.tex"]
    assert (locks / "13" / "deep" / "0.lock").exists() and (home / "0.lock").read_text() == "mine"


def touch_elsewhere(path: Path) -> None:
    (path.parent.parent / "elsewhere").touch()
    path.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize("kind, make", [("a link", touch_elsewhere), ("a FIFO", os.mkfifo), ("a folder", Path.mkdir)])
def test_what_is_no_lock_is_named_and_not_opened(kind, make, tmp_path, one_gpu):
    (tmp_path / "locks").mkdir()
    make(tmp_path / "locks" / "0.lock")
    with pytest.raises(InputError, match=f"0.lock: no GPU's lock .*{kind}, expected a regular file.*must remove it"):
        gpus.claim(1, tmp_path / "locks")


def test_a_file_in_place_of_the_locks_is_named(tmp_path, one_gpu):
    (tmp_path / "locks").touch()
    with pytest.raises(InputError, match=r"locks is a regular file, expected a folder.*WAFERBENCH_GPU_LOCKS"):
        gpus.claim(1, tmp_path / "locks")
    with pytest.raises(InputError, match=r"none: no folder for the locks of GPUs \(No such file or directory\)"):
        gpus.claim(1, tmp_path / "none" / "locks")


def test_the_folder_that_a_variable_names_is_taken(tmp_path, monkeypatch, one_gpu):
    monkeypatch.setenv("WAFERBENCH_GPU_LOCKS", str(tmp_path / "mine"))
    assert gpus.claim(1) == ["0"] and (tmp_path / "mine" / "0.lock").exists()


FIRST, SECOND = 64101, 64102


def become(user: int) -> None:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o077)


def claimed(folder: Path) -> list[str] | str:
    """What this user gets, or is told."""
    try:
        return gpus.claim(1, folder)
    except InputError as error:
        return str(error)


def of_user(user: int, act, *arguments):
    """What an action returns when another user's process does it."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=become, initargs=(user,)) as pool:
        return pool.submit(act, *arguments).result(timeout=60)


@pytest.fixture
def common(one_gpu) -> Iterator[Path]:
    """A folder as /tmp is."""
    if os.geteuid() != 0:
        pytest.skip("only root can become other users")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        Path(folder).chmod(0o1777)
        yield Path(folder)


def test_users_share_the_locks_that_one_of_them_has_made(common):
    locks = common / "locks"
    assert of_user(FIRST, claimed, locks) == ["0"] == of_user(SECOND, claimed, locks) == claimed(locks)
    assert locks.stat().st_uid == FIRST and locks.stat().st_mode & 0o7777 == 0o1777
    with pytest.raises(PermissionError):
        of_user(SECOND, os.unlink, locks / "0.lock")


def made(path: Path, mode: int) -> None:
    path.mkdir()
    path.chmod(mode)


@pytest.mark.parametrize(
    "mode, said",
    [
        (0o700, "Permission denied"),
        (0o1700, "Permission denied"),
        (0o755, f"it belongs to user {FIRST} and is not sticky"),
        (0o777, f"it belongs to user {FIRST} and is not sticky"),
        (0o1755, "you may not write to it"),
    ],
)
def test_a_folder_that_another_has_made_for_themself_is_named_with_what_to_do(mode, said, common):
    of_user(FIRST, made, common / "locks", mode)
    told = of_user(SECOND, claimed, common / "locks")
    assert told.startswith(f"{common}/locks: no folder for the locks of GPUs ({said}), expected one of mode 1777;")
    assert "have its owner or root remove it, or set WAFERBENCH_GPU_LOCKS to another folder" in told
    assert of_user(FIRST, os.rmdir, common / "locks") is None and of_user(SECOND, claimed, common / "locks") == ["0"]


def lock_of_ones_own(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT, 0o600))


def test_a_lock_that_cannot_be_read_is_named_with_what_to_do(common):
    made(common / "locks", 0o1777)
    of_user(FIRST, lock_of_ones_own, common / "locks" / "0.lock")
    told = of_user(SECOND, claimed, common / "locks")
    assert told == f"{common}/locks/0.lock: a GPU's lock that you may not read; its owner must `chmod a+r` it"
