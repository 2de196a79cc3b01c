"""The folder that studies share results through: what is served, what never is, and what it costs when it fails."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, redirect_stderr
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import pytest

from helpers.scripts import snakemake
from waferbench.base.files import digest
from waferbench.config.stages import Nothing
from waferbench.engine import codehash
from waferbench.engine.cache import Cache
from waferbench.engine.codehash import code_digest
from waferbench.engine.job import Job, run

MADE_FROM = {"rule": "train_gan", "wildcards": {"scope": "fold0"}, "settings": {"lr": 1e-3}, "code": "c", "inputs": {}}
RECORD = {"seconds": 3.5}


def outputs(folder: Path) -> list[Path]:
    return [folder / "gan.safetensors", folder / "base"]


def made(folder: Path, text: str = "weights") -> list[Path]:
    """A file and a folder, as a job leaves them."""
    (folder / "base" / "unet").mkdir(parents=True)
    (folder / "gan.safetensors").write_text(text)
    (folder / "base" / "unet" / "part").write_text(text * 100)
    (folder / "base" / ".snakemake_timestamp").touch()
    return outputs(folder)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    cache.store(MADE_FROM, made(tmp_path / "maker"), RECORD)
    return cache


def entry(cache: Cache) -> Path:
    [found] = cache.folder.iterdir()
    return found


def test_an_entry_is_served_byte_for_byte_with_the_record_of_its_making(cache: Cache, tmp_path: Path):
    before = time.time()
    mine = outputs(tmp_path / "mine")
    assert cache.fetch(MADE_FROM, mine) == RECORD
    assert [digest(path) for path in mine] == [digest(path) for path in outputs(tmp_path / "maker")]
    assert mine[0].stat().st_mtime >= before - 1, "an output older than its inputs would be made again"
    assert sorted(path.name for path in mine[0].parent.iterdir()) == ["base", "gan.safetensors"]
    mine[0].write_text("edited")
    assert cache.fetch(MADE_FROM, outputs(tmp_path / "other")) == RECORD, "a user's copy is no part of the cache"


@pytest.mark.parametrize(
    "part, value",
    [
        ("rule", "train_flow"),
        ("wildcards", {"scope": "fold1"}),
        ("settings", {"lr": 2e-3}),
        ("code", "d"),
        ("inputs", {"folds": "1"}),
    ],
)
def test_whatever_decides_a_result_tells_entries_apart(part: str, value: object, cache: Cache, tmp_path: Path):
    assert cache.fetch({**MADE_FROM, part: value}, outputs(tmp_path / "mine")) is None
    assert not (tmp_path / "mine").exists()


def test_outputs_of_other_names_are_another_entry(cache: Cache, tmp_path: Path):
    assert cache.fetch(MADE_FROM, [tmp_path / "mine" / "other.safetensors", tmp_path / "mine" / "base"]) is None


DAMAGES = {
    "a changed byte": lambda entry: (entry / "0").write_text("weightz"),
    "a torn file": lambda entry: os.truncate(entry / "1" / "unet" / "part", 10),
    "a missing file": lambda entry: (entry / "0").unlink(),
    "a torn manifest": lambda entry: os.truncate(entry / "entry.json", 40),
    "a record that is none": lambda entry: (entry / "entry.json").write_text(
        (entry / "entry.json").read_text().replace('"record": {', '"record": [], "other": {')
    ),
    "a manifest without end": lambda entry: (entry / "entry.json").write_text("[" * 100_000),
    "no manifest": lambda entry: (entry / "entry.json").write_text("{}"),
    "the entry of something else": lambda entry: (entry / "entry.json").write_text(
        (entry / "entry.json").read_text().replace("train_gan", "train_flow")
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_not_served_and_made_sound_again(damage: str, cache: Cache, tmp_path: Path, capsys):
    DAMAGES[damage](entry(cache))
    mine = outputs(tmp_path / "mine")
    assert cache.fetch(MADE_FROM, mine) is None
    assert "is damaged" in capsys.readouterr().err and not any(path.exists() for path in mine)
    assert not list(cache.folder.iterdir())
    cache.store(MADE_FROM, outputs(tmp_path / "maker"), RECORD)
    assert cache.fetch(MADE_FROM, mine) == RECORD


def test_a_folder_that_cannot_be_used_costs_nothing_but_the_sharing(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("no folder")
    cache = Cache(tmp_path / "file")
    mine = made(tmp_path / "mine")
    cache.store(MADE_FROM, mine, RECORD)
    assert "nothing added" in capsys.readouterr().err
    assert cache.fetch(MADE_FROM, mine) is None
    assert mine[0].read_text() == "weights"


def test_a_full_disk_neither_leaves_half_an_entry_nor_removes_a_whole_one(cache: Cache, tmp_path: Path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    cache.store({**MADE_FROM, "code": "d"}, outputs(tmp_path / "maker"), RECORD)
    assert cache.fetch(MADE_FROM, outputs(tmp_path / "mine")) is None
    monkeypatch.undo()
    assert len(list(cache.folder.iterdir())) == 1
    assert cache.fetch(MADE_FROM, outputs(tmp_path / "mine")) == RECORD


def test_an_entry_has_the_rights_of_its_folder_whatever_the_umask(tmp_path: Path):
    cache = Cache(tmp_path / "cache")
    cache.folder.mkdir()
    cache.folder.chmod(0o2775)
    before = os.umask(0o077)
    try:
        cache.store(MADE_FROM, made(tmp_path / "maker"), RECORD)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in entry(cache).rglob("*") if path.is_file()}
    assert modes == {0o664} and entry(cache).stat().st_mode & 0o777 == 0o775


LAB, MAKER, COLLEAGUE, STRANGER = 64100, 64101, 64102, 64103


def become(user: int) -> None:
    """Be another user, who keeps files to themselves; all but the stranger are in the lab's group."""
    os.setgroups([] if user == STRANGER else [LAB])
    os.setgid(user)
    os.setuid(user)
    os.umask(0o077)


def of_user(user: int, act, lab: Path):
    """What an action returns and says when another user's process does it."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=become, initargs=(user,)) as pool:
        return pool.submit(heard, act, lab / "cache", lab / str(user) / act.__name__).result()


def heard(act, cache: Path, home: Path):
    with redirect_stderr(StringIO()) as said:
        return act(Cache(cache), home), said.getvalue()


def add(cache: Cache, home: Path) -> list[str]:
    cache.store(MADE_FROM, made(home), RECORD)
    return [digest(path) for path in outputs(home)]


def take(cache: Cache, home: Path) -> list[str] | None:
    return cache.fetch(MADE_FROM, outputs(home)) and [digest(path) for path in outputs(home)]


@pytest.fixture
def lab() -> Iterator[Path]:
    """A common cache as docs/operating.md says, and a private folder for each user."""
    if os.geteuid() != 0:
        pytest.skip("only root can become other users")
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        lab = Path(folder)
        lab.chmod(0o755)
        for user in (MAKER, COLLEAGUE, STRANGER):
            (lab / str(user)).mkdir(mode=0o700)
            os.chown(lab / str(user), user, user)
        (lab / "cache").mkdir()
        os.chown(lab / "cache", 0, LAB)
        (lab / "cache").chmod(0o2770)
        yield lab


def test_users_of_a_group_share_and_nobody_else_does(lab: Path):
    digests, said = of_user(MAKER, add, lab)
    assert said == ""
    assert of_user(COLLEAGUE, take, lab) == (digests, "")
    taken, said = of_user(STRANGER, take, lab)
    assert taken is None and "could not be taken (" in said and "Permission denied" in said
    digests, said = of_user(STRANGER, add, lab)
    assert len(digests) == 2 and "nothing added" in said and "Permission denied" in said


def test_a_cache_that_may_only_be_read_is_read(lab: Path):
    digests, _ = of_user(MAKER, add, lab)
    (lab / "cache").chmod(0o2750)
    assert of_user(COLLEAGUE, take, lab) == (digests, "")
    os.truncate(entry(Cache(lab / "cache")) / "0", 1)
    taken, said = of_user(COLLEAGUE, take, lab)
    assert taken is None and "it is not ours to remove, and made anew here" in said
    shutil.rmtree(entry(Cache(lab / "cache")))
    _, said = of_user(COLLEAGUE, add, lab)
    assert "nothing added" in said and "Permission denied" in said


def work(folder: Path, number: int) -> int:
    """Store and fetch one entry in turns with others; how often what came was not whole."""
    cache, torn = Cache(folder / "cache"), 0
    mine, there = outputs(folder / f"mine{number}"), outputs(folder / "maker")
    expected = [digest(path) for path in there]
    for turn in range(20):
        if turn % 5 == number % 5:
            cache._discard(next(iter(cache.folder.glob("[!.]*")), cache.folder / "none"))
        cache.store(MADE_FROM, there, RECORD)
        if cache.fetch(MADE_FROM, mine) is not None:
            torn += [digest(path) for path in mine] != expected
    return torn


def test_many_at_once_meet_whole_entries_alone(tmp_path: Path):
    made(tmp_path / "maker")
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        assert list(pool.map(work, [tmp_path] * 4, range(4))) == [0] * 4
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]


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
    assert "nothing added, as code" in capsys.readouterr().err and not (tmp_path / "cache").exists()
    assert (tmp_path / "a/results/s/runs/train-fold0.json").exists()


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
