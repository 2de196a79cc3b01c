"""Results that are not computed twice: what is served, what never is, what it costs when it fails, what is cleaned."""

import errno
import json
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from helpers.stored import KEY, RECORD, entry, made, outputs
from waferbench.base.errors import InputError
from waferbench.base.files import digest
from waferbench.base.seals import FACTS
from waferbench.engine import entries
from waferbench.engine import store as module
from waferbench.engine.store import MANIFEST, Store, can_link

DAY = 86400


@pytest.fixture(params=[False, True], ids=["copied", "linked"])
def store(request, tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", linked=request.param)
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    return store


@pytest.fixture
def linked(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", linked=True)
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    return store


def test_an_entry_is_served_byte_for_byte_with_the_record_of_its_making(store: Store, tmp_path: Path):
    for path in (outputs(tmp_path / "maker")[0], entry(store)):
        os.utime(path, (1000, 1000))
    before = time.time()
    mine = outputs(tmp_path / "mine")
    assert store.fetch(KEY, mine) == RECORD
    assert [digest(path) for path in mine] == [digest(path) for path in outputs(tmp_path / "maker")]
    for path in (mine[0], mine[1] / "unet" / "part"):
        assert path.stat().st_mtime >= before - 1, "an output older than its inputs would be made again"
    assert sorted(path.name for path in mine[0].parent.iterdir()) == ["base", "gan.bin"]
    assert sorted(path.name for path in mine[1].rglob("*")) == ["part", "unet", FACTS]
    assert entry(store).stat().st_mtime >= before - 1, "it was of use"


def test_a_copy_is_no_part_of_the_store(tmp_path: Path):
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD
    for name in ("maker", "mine"):
        outputs(tmp_path / name)[0].write_text("edited")
    assert store.fetch(KEY, outputs(tmp_path / "other")) == RECORD


def test_what_is_linked_is_on_disk_once(linked: Store, tmp_path: Path):
    assert linked.fetch(KEY, outputs(tmp_path / "mine")) == RECORD
    for inner in ("gan.bin", "base/unet/part"):
        files = [(tmp_path / name / inner).stat() for name in ("maker", "mine")]
        assert files[0].st_ino == files[1].st_ino and files[0].st_nlink == 3


def test_there_and_back_keeps_both_results(linked: Store, tmp_path: Path):
    """A result replaces another, the first comes back: neither is written into the other's file."""
    mine = outputs(tmp_path / "maker")
    first = [digest(path) for path in mine]
    shutil.rmtree(mine[1])
    mine[0].unlink()
    linked.add({**KEY, "settings": 2}, made(tmp_path / "maker2", "others"), RECORD)
    for _ in range(2):
        assert linked.fetch({**KEY, "settings": 2}, mine) == RECORD
        assert [digest(path) for path in mine] == [digest(path) for path in outputs(tmp_path / "maker2")]
        assert linked.fetch(KEY, mine) == RECORD and [digest(path) for path in mine] == first


def test_what_is_there_already_may_be_fetched_again(store: Store, tmp_path: Path):
    """Of two names of one file the system renames neither to the other."""
    mine = outputs(tmp_path / "mine")
    for _ in range(2):
        assert store.fetch(KEY, mine) == RECORD
        assert sorted(path.name for path in mine[0].parent.iterdir()) == ["base", "gan.bin"]


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
def test_whatever_decides_a_result_tells_entries_apart(part: str, value: object, store: Store, tmp_path: Path):
    assert store.fetch({**KEY, part: value}, outputs(tmp_path / "mine")) is None
    assert not (tmp_path / "mine").exists()


def test_outputs_of_other_names_are_another_entry(store: Store, tmp_path: Path):
    assert store.fetch(KEY, [tmp_path / "mine" / "other.bin", tmp_path / "mine" / "base"]) is None


def edit(old: str, new: str, seal: bool = True):
    """Change the text of a manifest; with its seal made anew, as on purpose."""

    def act(entry: Path) -> None:
        text = (entry / MANIFEST).read_text()
        assert old in text
        changed = json.loads(text.replace(old, new))
        told = changed.pop(entries.SEAL)
        (entry / MANIFEST).write_text(json.dumps({**changed, entries.SEAL: entries._seal(changed) if seal else told}))

    return act


DAMAGES = {
    "a changed byte": lambda entry: (entry / "0").write_text("weightz"),
    "a torn file": lambda entry: os.truncate(entry / "1" / "unet" / "part", 10),
    "a longer file": lambda entry: os.truncate(entry / "1" / "unet" / "part", 10_000),
    "a missing file": lambda entry: (entry / "0").unlink(),
    "a missing folder": lambda entry: shutil.rmtree(entry / "1"),
    "a missing manifest": lambda entry: (entry / MANIFEST).unlink(),
    "half of it deleted": lambda entry: [shutil.rmtree(entry), entry.mkdir()],
    "a torn manifest": lambda entry: os.truncate(entry / MANIFEST, 40),
    "a record that is none": edit('"record": {', '"record": [], "other": {'),
    "a manifest without end": lambda entry: (entry / MANIFEST).write_text("[" * 100_000),
    "a manifest that is too large": lambda entry: (entry / MANIFEST).write_text("[" + " " * entries.MOST + "]"),
    "a list for a manifest": lambda entry: (entry / MANIFEST).write_text("[]"),
    "another record": edit('"seconds": 3.5', '"seconds": 4.5', seal=False),
    "no manifest": lambda entry: (entry / MANIFEST).write_text("{}"),
    "the entry of something else": edit("train_gan", "train_flow"),
    "a path that leads out of it": edit('"unet/part"', '"../0"'),
    "a path from the root": edit('"unet/part"', '"/etc/hostname"'),
    "a record that is missing": edit('"record": {', '"other": {'),
    "a size that is no number": edit("700,", '"700",'),
    "fewer outputs": edit('"outputs": [', '"outputs": [{}], "other": ['),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_not_served_and_made_sound_again(damage: str, store: Store, tmp_path: Path, capsys):
    DAMAGES[damage](entry(store))
    mine = outputs(tmp_path / "mine")
    assert store.fetch(KEY, mine) is None
    assert "is damaged (" in capsys.readouterr().err and not any(path.exists() for path in mine)
    assert not list(store.folder.iterdir()) and not list((tmp_path).glob("mine/.*"))
    shutil.rmtree(tmp_path / "maker")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    assert store.fetch(KEY, mine) == RECORD


def test_a_result_edited_in_place_is_not_served_again(linked: Store, tmp_path: Path, capsys):
    outputs(tmp_path / "maker")[0].write_text("edited")
    assert linked.fetch(KEY, outputs(tmp_path / "mine")) is None
    said = capsys.readouterr().err
    assert "store: " in said and "gan.bin" in said and "it is removed, and made anew" in said
    assert not list(linked.folder.iterdir())


def test_an_entry_deleted_by_hand_is_made_again(store: Store, tmp_path: Path, capsys):
    shutil.rmtree(entry(store))
    assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    shutil.rmtree(store.folder)
    assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    assert capsys.readouterr().err == ""
    store.add(KEY, outputs(tmp_path / "maker"), RECORD)
    assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD


def refuse(number: int):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize("number", sorted({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}))
def test_where_files_cannot_be_linked_they_are_copied_and_it_is_said_once(
    number: int, tmp_path: Path, monkeypatch, capsys
):
    monkeypatch.setattr(os, "link", refuse(number))
    store = Store(tmp_path / "store", linked=True)
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    outputs(tmp_path / "maker")[0].write_text("edited")
    assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD
    assert outputs(tmp_path / "mine")[0].read_text() == "weights"
    assert capsys.readouterr().err.count("they are copied") == 1


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links_is_told_from_one_that_cannot_be_tried(number: int, tmp_path: Path, monkeypatch):
    store = tmp_path / ".store"
    assert can_link(tmp_path, store)
    store.mkdir()
    assert can_link(tmp_path, store)
    monkeypatch.setattr(os, "link", refuse(number))
    assert not can_link(tmp_path, store) and list(tmp_path.rglob("*")) == [store]
    monkeypatch.setattr(os, "open", refuse(errno.EACCES))
    assert can_link(tmp_path, store)


def test_a_store_on_another_file_system_is_copied(tmp_path: Path, capsys):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system (/dev/shm) here")
    store = Store(memory / f"waferbench-test-{os.getpid()}", linked=True)
    try:
        store.add(KEY, made(tmp_path / "maker"), RECORD)
        assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD
        assert "they are copied" in capsys.readouterr().err
        assert store.clean()[0] == 1 and not list(store.folder.iterdir())
    finally:
        shutil.rmtree(store.folder, ignore_errors=True)


def test_a_folder_that_cannot_be_used_costs_nothing_but_the_saving(tmp_path: Path, capsys):
    (tmp_path / "file").write_text("no folder")
    store = Store(tmp_path / "file")
    mine = made(tmp_path / "mine")
    store.add(KEY, mine, RECORD)
    assert "nothing added" in capsys.readouterr().err
    assert store.fetch(KEY, mine) is None
    assert "could not be taken" in capsys.readouterr().err
    assert mine[0].read_text() == "weights"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_neither_leaves_half_an_entry_nor_removes_a_whole_one(
    number: int, store: Store, tmp_path: Path, monkeypatch, capsys
):
    for name in ("write", "link"):
        monkeypatch.setattr(os, name, refuse(number))
    store.add({**KEY, "code": "d"}, outputs(tmp_path / "maker"), RECORD)
    assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert "nothing added" in said and "computing instead" in said and said.count(os.strerror(number)) >= 2
    assert len(list(store.folder.iterdir())) == 1 and not list((tmp_path / "mine").iterdir())
    assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD


def test_more_than_there_is_room_for_is_not_begun(tmp_path: Path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 500, 500))
    assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    size = sum(path.stat().st_size for path in (tmp_path / "maker").rglob("*") if path.is_file())
    assert f"No space left on device for {size:,} bytes" in capsys.readouterr().err and entry(store).is_dir()


def test_too_many_files_for_a_manifest_are_not_added(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(entries, "MOST", 100)
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker")[:1], RECORD)
    assert "too many files" in capsys.readouterr().err and not list(store.folder.iterdir())


def test_all_of_an_entry_is_on_the_disk_before_it_gets_its_name(tmp_path: Path, monkeypatch):
    """Else a power cut may leave the name, and half of what it names."""
    synced, sync, move = set(), os.fsync, module.Folder.move

    def moved(self, name, to):
        made = Path(os.readlink(f"/proc/self/fd/{self.descriptor}")) / name
        assert {path for path in [made, *made.rglob("*")]} <= synced
        synced.clear()
        move(self, name, to)

    monkeypatch.setattr(os, "fsync", lambda fd: (sync(fd), synced.add(Path(os.readlink(f"/proc/self/fd/{fd}")))))
    monkeypatch.setattr(module.Folder, "move", moved)
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    assert entry(store).is_dir() and synced == {store.folder}


def work(folder: Path, number: int, linked: bool) -> int:
    """Add and fetch one entry in turns with others; how often what came was not whole."""
    store, torn = Store(folder / "store", linked), 0
    mine, there = outputs(folder / f"mine{number}"), outputs(folder / "maker")
    expected = [digest(path) for path in there]
    for turn in range(20):
        if turn % 5 == number % 5:
            Store(store.folder).clean()
        store.add(KEY, there, RECORD)
        if store.fetch(KEY, mine) is not None:
            torn += [digest(path) for path in mine] != expected
    return torn


@pytest.mark.parametrize("linked", [False, True])
def test_many_at_once_meet_whole_entries_alone(linked: bool, tmp_path: Path):
    made(tmp_path / "maker")
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        assert list(pool.map(work, [tmp_path] * 4, range(4), [linked] * 4)) == [0] * 4
    assert not [path for path in (tmp_path / "store").iterdir() if path.name.startswith(".")]


def test_of_two_that_are_added_at_once_the_first_stays(store: Store, tmp_path: Path, monkeypatch, capsys):
    there = entry(store)
    monkeypatch.setattr(module, "_name", lambda *_: there.name)
    monkeypatch.setattr(module.Folder, "look", lambda self, name: None if name == there.name else look(self, name))
    store.add(KEY, made(tmp_path / "second", "others"), {"seconds": 1})
    monkeypatch.undo()
    assert capsys.readouterr().err == "" and entry(store) == there
    assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD


look = module.Folder.look


def several(store: Store, folder: Path, times: list[float]) -> list[Path]:
    """Entries by when they were last of use; each of one file with 8192 bytes."""
    found = []
    for number, used in enumerate(times):
        output = folder / str(number) / "out.bin"
        output.parent.mkdir(parents=True)
        output.write_bytes(bytes([number]) * 8192)
        before = set(store.folder.glob("*"))
        store.add({"number": number}, [output], RECORD)
        [new] = set(store.folder.glob("*")) - before
        os.utime(new, (used, used))
        found.append(new)
    return found


def room(path: Path) -> int:
    """Bytes on disk of a file, or of the files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(512 * file.stat().st_blocks for file in files if file.is_file())


def test_the_least_recently_used_go_until_the_rest_is_small_enough(tmp_path: Path):
    store = Store(tmp_path / "store")
    now = time.time()
    kept = several(store, tmp_path, [now, now - DAY, now - 3 * DAY, now - 2 * DAY])
    each = room(kept[0])
    assert each > 8192
    assert store.clean(keep=4 * each) == (0, 0)
    assert store.clean(keep=4 * each - 1) == (1, each)
    assert [path.exists() for path in kept] == [True, True, False, True]
    assert store.fetch({"number": 3}, [tmp_path / "3" / "out.bin"]) == RECORD  # which is of use now
    assert store.clean(keep=2 * each) == (1, each)
    assert [path.exists() for path in kept] == [True, False, False, True]
    assert store.clean() == (2, 2 * each) and store.clean() == (0, 0)


def test_entries_that_results_share_cost_nothing_and_stay(tmp_path: Path):
    store = Store(tmp_path / "store", linked=True)
    kept = several(store, tmp_path, [1e9, 2e9, 3e9])
    each = room(kept[1])
    assert store.clean() == (0, 0) and store.spare() == 0
    (tmp_path / "1" / "out.bin").unlink()
    assert store.clean(keep=each) == (0, 0) and store.spare() == each
    assert store.clean() == (1, each) and [path.exists() for path in kept] == [True, False, True]


def test_a_file_that_entries_alone_share_goes_with_the_last_of_them(tmp_path: Path):
    store = Store(tmp_path / "store", linked=True)
    [first] = several(store, tmp_path, [1e9])
    each, file = room(first), room(tmp_path / "0" / "out.bin")
    store.add({"number": "the same"}, [tmp_path / "0" / "out.bin"], RECORD)
    (tmp_path / "0" / "out.bin").unlink()
    assert store.spare() == 2 * each - file
    assert store.clean(keep=each) == (1, each - file)
    assert store.clean() == (1, each)


@pytest.mark.parametrize("jump", [0.0, 4e9])
def test_a_clock_that_jumped_hurts_nothing(jump: float, store: Store, tmp_path: Path):
    for path in [entry(store), *entry(store).rglob("*")]:
        os.utime(path, (jump, jump))
    before = time.time()
    assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD
    assert before - 1 <= outputs(tmp_path / "mine")[0].stat().st_mtime <= time.time() + 1
    assert before - 1 <= entry(store).stat().st_mtime <= time.time() + 1
    for name in ("maker", "mine"):
        shutil.rmtree(tmp_path / name)
    os.utime(entry(store), (jump, jump))
    assert store.clean()[0] == 1


def test_what_killed_processes_left_goes_when_it_is_old(tmp_path: Path):
    store = Store(tmp_path / "store")
    [whole] = several(store, tmp_path, [time.time()])
    left = [
        store.folder / f".{kind}-{digit * 32}" for kind, digit in (("making", "0"), ("leaving", "1"), ("making", "2"))
    ]
    for path, age in zip(left, (2 * DAY, -2 * DAY, 60), strict=True):
        (path / "1").mkdir(parents=True)
        (path / "1" / "part").write_bytes(bytes(8192))
        os.utime(path, (time.time() - age,) * 2)
    freed = sum(map(room, left[:2]))
    assert freed >= 2 * 8192
    (store.folder / "notes").write_text("of the group")
    (store.folder / ".hidden").mkdir()
    assert store.clean(keep=10**9) == (0, freed)
    assert {path.name for path in store.folder.iterdir()} == {whole.name, left[2].name, "notes", ".hidden"}


def test_a_store_that_is_not_there_is_clean_and_one_that_cannot_be_read_is_named(tmp_path: Path):
    assert Store(tmp_path / "none").clean() == (0, 0) and Store(tmp_path / "none").spare() == 0
    (tmp_path / "file").touch()
    for look in (Store(tmp_path / "file").clean, Store(tmp_path / "file").spare):
        with pytest.raises(InputError, match="file: Not a directory; ask its owner"):
            look()
