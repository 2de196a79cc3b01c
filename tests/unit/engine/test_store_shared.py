"""A store that others can write to: rights of what is added, and that nothing in it leads astray who takes it."""

import json
import os
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers.stored import KEY, RECORD, entry, made, outputs
from waferbench.base.seals import FACTS
from waferbench.engine.entries import MANIFEST, SEAL, _seal
from waferbench.engine.guarded import Folder
from waferbench.engine.store import Store


@pytest.mark.parametrize(
    "folder, files, folders", [(0o2770, 0o660, 0o770), (0o3770, 0o640, 0o750), (0o2775, 0o664, 0o775)]
)
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_an_entry_has_the_rights_of_its_folder_whatever_the_umask(
    umask: int, folder: int, files: int, folders: int, tmp_path: Path
):
    """In a sticky folder, whose files are their makers' own, nobody else may write to an entry either."""
    store = Store(tmp_path / "store")
    store.folder.mkdir()
    store.folder.chmod(folder)
    before = os.umask(umask)
    try:
        store.add(KEY, made(tmp_path / "maker"), RECORD)
    finally:
        os.umask(before)
    modes = {(path.is_dir(), path.stat().st_mode & 0o777) for path in [entry(store), *entry(store).rglob("*")]}
    assert modes == {(False, files), (True, folders)}


def test_links_keep_the_rights_of_results(tmp_path: Path):
    store = Store(tmp_path / "store", linked=True)
    store.folder.mkdir()
    store.folder.chmod(0o2775)
    made(tmp_path / "maker")[0].chmod(0o600)
    store.add(KEY, outputs(tmp_path / "maker"), RECORD)
    assert outputs(tmp_path / "maker")[0].stat().st_mode & 0o777 == 0o600


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Fail what waits for ever, in place of waiting."""

    def late(*_):
        raise TimeoutError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(path.parent)  # their names are short
        server.bind(path.name)


def replaced(inner: str, make) -> None:
    def act(entry: Path) -> None:
        path = entry / inner
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return act


def secret(entry: Path) -> Path:
    """What the user who takes an entry may read, and nobody should reach through one."""
    return entry.parents[1] / "secret"


HOSTILE = {
    "a FIFO for the manifest": replaced(MANIFEST, os.mkfifo),
    "a FIFO for an output": replaced("0", os.mkfifo),
    "a FIFO in an output": replaced("1/unet/part", os.mkfifo),
    "a socket for an output": replaced("0", listen),
    "the manifest linked to an endless device": replaced(MANIFEST, lambda path: path.symlink_to("/dev/zero")),
    "an output linked to an endless device": replaced("0", lambda path: path.symlink_to("/dev/zero")),
    "a folder that links to itself": replaced("1/unet", lambda path: path.symlink_to(".")),
    "an output folder that links to the entry": replaced("1", lambda path: path.symlink_to(".")),
    "an output that links to an equal file": replaced("0", lambda path: path.symlink_to(secret(path.parent))),
    "a folder for a file": replaced("0", Path.mkdir),
    "a file for a folder": replaced("1", Path.touch),
    "an output without end": lambda entry: os.truncate(entry / "0", 2**40),
    "a manifest without end": lambda entry: os.truncate(entry / MANIFEST, 2**40),
}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("act", HOSTILE)
def test_no_entry_keeps_a_job_or_leads_it_astray(act: str, linked: bool, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "store", linked)
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    (tmp_path / "secret").write_text("weights")
    if linked:  # an entry of its own files, so that no result is damaged with it
        shutil.rmtree(tmp_path / "maker")
    HOSTILE[act](entry(store))
    with at_most(20):
        assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    assert "is damaged (" in capsys.readouterr().err
    assert not list(tmp_path.glob("mine/*")) and not list(store.folder.iterdir())
    assert (tmp_path / "secret").read_text() == "weights", "a link goes, what it points to stays"


def test_a_device_is_named_and_not_opened(tmp_path: Path, capsys):
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    (entry(store) / "0").unlink()
    try:
        os.mknod(entry(store) / "0", 0o644 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root can make a device")
    with at_most(20):
        assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    assert "0 is a device, expected a regular file" in capsys.readouterr().err


def test_files_beside_those_recorded_are_left_alone(tmp_path: Path):
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    os.mkfifo(entry(store) / "1" / "more")
    (entry(store) / "1" / "loop").symlink_to(".")
    with at_most(20):
        assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD
        assert sorted(path.name for path in outputs(tmp_path / "mine")[1].iterdir()) == ["unet", FACTS]
        assert store.clean()[0] == 1 and not list(store.folder.iterdir())


IN_THE_WAY = {"a file": Path.touch, "a FIFO": os.mkfifo, "a link": lambda path: path.symlink_to("elsewhere")}


@pytest.mark.parametrize("kind", IN_THE_WAY)
def test_what_stands_in_an_entrys_place_is_said(kind: str, tmp_path: Path, capsys):
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    place = entry(store)
    shutil.rmtree(place)
    (tmp_path / "elsewhere").mkdir()
    IN_THE_WAY[kind](place)
    with at_most(20):
        store.add(KEY, outputs(tmp_path / "maker"), RECORD)
        assert f"nothing added to {store.folder} ({place.name} is in the way" in capsys.readouterr().err
        assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
        assert f"{place.name} is {kind if kind != 'a file' else 'a regular file'}" in capsys.readouterr().err
        store.add(KEY, outputs(tmp_path / "maker"), RECORD)
        assert store.fetch(KEY, outputs(tmp_path / "mine")) == RECORD and not list((tmp_path / "elsewhere").iterdir())


def test_what_is_said_holds_no_control_characters(tmp_path: Path, capsys):
    store = Store(tmp_path / "store")
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    (entry(store) / "1" / "unet" / "part").unlink()
    (entry(store) / "1" / "unet").rmdir()
    known = json.loads((entry(store) / MANIFEST).read_text())
    del known[SEAL]
    known["outputs"][1] = {"\x1b[2J\ud800": known["outputs"][1]["unet/part"]}
    (entry(store) / MANIFEST).write_text(json.dumps({**known, SEAL: _seal(known)}))
    assert store.fetch(KEY, outputs(tmp_path / "mine")) is None
    said = capsys.readouterr().err
    assert "is damaged" in said and "\x1b" not in said


def swapping(monkeypatch, act) -> None:
    """Act as another user would, at each moment at which a name is about to be used while an entry is made."""
    for name in ("make", "create", "move"):
        ours = getattr(Folder, name)

        def between(self, *arguments, ours=ours):
            act()
            return ours(self, *arguments)

        monkeypatch.setattr(Folder, name, between)


@pytest.mark.parametrize("mode", [0o2770, 0o3770, 0o2775])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_adding_writes_through_no_link_that_is_put_in_its_way(mode: int, umask: int, tmp_path: Path, monkeypatch):
    """Everything in the making is exchanged for links to a private file, by who may: without the sticky bit anybody."""
    private, store = tmp_path / "private", Store(tmp_path / "store")
    private.mkdir(mode=0o700)
    for name in ("0", "1", MANIFEST):
        (private / name).write_text("private")
        (private / name).chmod(0o600)
    store.folder.mkdir()
    store.folder.chmod(mode)
    moved = iter(range(100))

    def exchange() -> None:
        for making in store.folder.glob(".making-*"):
            if not making.is_symlink():
                making.rename(tmp_path / f"moved{next(moved)}")
                making.symlink_to(private)

    swapping(monkeypatch, exchange)
    before = os.umask(umask)
    try:
        store.add(KEY, made(tmp_path / "maker"), RECORD)
    finally:
        os.umask(before)
    assert {path.read_text() for path in private.iterdir()} == {"private"}
    assert {path.stat().st_mode & 0o777 for path in private.iterdir()} == {0o600}
    assert private.stat().st_mode & 0o777 == 0o700 and len(list(private.iterdir())) == 3


def test_a_folder_exchanged_while_it_is_made_is_seen(tmp_path: Path, monkeypatch, capsys):
    """The folder in the making is exchanged for one of another user's, at the last moment before its name changes."""
    store, ours = Store(tmp_path / "store"), Folder.is_still

    def exchanged(self, name, facts):
        (store.folder / name).rename(tmp_path / "moved")
        (store.folder / name).mkdir()
        return ours(self, name, facts)

    monkeypatch.setattr(Folder, "is_still", exchanged)
    store.add(KEY, made(tmp_path / "maker"), RECORD)
    assert "another user has exchanged what was being made" in capsys.readouterr().err
    assert not list(store.folder.iterdir())
