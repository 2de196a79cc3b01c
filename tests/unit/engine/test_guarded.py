"""Work in folders that others can write: no link is followed, nothing waits, nothing but what was asked for is read."""

import os
from pathlib import Path

import pytest

from waferbench.engine.guarded import DEEPEST, Folder, Unfit, copy_bytes, opened

NO_NAMES = ["", ".", "..", "a/b", "/etc/hostname", "a\0b"]


@pytest.fixture
def folder(tmp_path: Path):
    (tmp_path / "shared").mkdir()
    with Folder.at(tmp_path / "shared") as folder:
        yield folder


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("act", ["look", "folder", "make", "open", "create", "remove"])
def test_a_name_leads_nowhere_else(act: str, name: str, folder: Folder):
    with pytest.raises(Unfit, match="is no name of a file"):
        getattr(folder, act)(name)
    with pytest.raises(Unfit, match="is no name of a file"):
        folder.move("here", name)


def test_the_users_own_links_lead_to_the_folder(tmp_path: Path):
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    with Folder.at(tmp_path / "link") as folder:
        assert folder.names() == ["inner"]


KINDS = {
    "a link": lambda path: path.symlink_to("elsewhere"),
    "a FIFO": os.mkfifo,
    "a folder": Path.mkdir,
    "a regular file": Path.touch,
}


@pytest.mark.parametrize("kind", KINDS)
def test_another_kind_of_file_is_named(kind: str, folder: Folder, tmp_path: Path):
    (tmp_path / "shared" / "elsewhere").write_text("here")
    KINDS[kind](tmp_path / "shared" / "it")
    if kind != "a regular file":
        with pytest.raises(Unfit, match=f"it is {kind}, expected a regular file"):
            folder.open("it")
    if kind != "a folder":
        with pytest.raises(Unfit, match=f"it is {kind}, expected a folder"):
            folder.folder("it")
        with pytest.raises(Unfit), folder.within(["it", "deeper"]):
            pass
    folder.remove("it")
    assert folder.names() == ["elsewhere"] and (tmp_path / "shared" / "elsewhere").read_text() == "here"
    with pytest.raises(Unfit, match="it is missing"):
        folder.open("it")


@pytest.mark.parametrize("swapped", ["a link", "a FIFO"])
def test_what_is_exchanged_after_it_was_looked_at_is_not_opened(
    swapped: str, folder: Folder, tmp_path: Path, monkeypatch
):
    """Between looking and opening: the system itself refuses links, and no FIFO is waited for."""
    path = tmp_path / "shared" / "it"
    (tmp_path / "elsewhere").write_text("another's")
    path.touch()
    ours = folder._require

    def exchange(name: str, kind: int) -> None:
        ours(name, kind)
        path.unlink()
        KINDS[swapped](path)

    monkeypatch.setattr(folder, "_require", exchange)
    with pytest.raises((OSError, Unfit)):
        os.close(folder.open("it"))


def test_a_folder_exchanged_while_it_is_made_is_refused(folder: Folder, tmp_path: Path, monkeypatch):
    theirs, made = tmp_path / "theirs", os.mkdir
    theirs.mkdir()
    (theirs / "something").touch()

    def exchange(name, *arguments, **keywords):
        made(name, *arguments, **keywords)
        (tmp_path / "shared" / name).rmdir()
        theirs.rename(tmp_path / "shared" / name)

    monkeypatch.setattr(os, "mkdir", exchange)
    with pytest.raises(Unfit, match="exchanged while it was made"):
        folder.make("it")


def test_a_folder_stays_the_one_that_was_opened(folder: Folder, tmp_path: Path):
    """Whatever its name stands for by now."""
    (tmp_path / "other").mkdir()
    facts = folder.facts
    with folder.make("it") as made:
        (tmp_path / "shared" / "it").rename(tmp_path / "moved")
        (tmp_path / "shared" / "it").symlink_to(tmp_path / "other")
        os.close(made.create("file"))
        assert not folder.is_still("it", made.facts) and os.path.samestat(facts, folder.facts)
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["file"]
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.parametrize("umask", [0, 0o077])
def test_modes_are_what_was_asked_for(umask: int, folder: Folder, tmp_path: Path):
    before = os.umask(umask)
    try:
        folder.make("private").close()
        with folder.make("common", 0o775) as common:
            os.close(common.create("private"))
            os.close(common.create("common", 0o664))
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path / "shared")): path.stat().st_mode & 0o7777 for path in tmp_path.glob("*/**/*")
    }
    assert modes == {"private": 0o700, "common": 0o775, "common/private": 0o600, "common/common": 0o664}


def test_folders_pass_their_group_on(folder: Folder, tmp_path: Path):
    (tmp_path / "shared").chmod(0o2770)
    with folder.within(["a", "b"], 0o750) as inner:
        assert inner.facts.st_mode & 0o7777 == 0o2750


def test_nothing_that_is_there_is_written_to(folder: Folder, tmp_path: Path):
    (tmp_path / "shared" / "it").symlink_to(tmp_path / "elsewhere")
    for act in (folder.create, folder.make):
        with pytest.raises(FileExistsError):
            act("it")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_is_read_up_to_a_size(folder: Folder, tmp_path: Path):
    (tmp_path / "shared" / "it").write_bytes(b"12345")
    assert folder.read("it", 5) == b"12345"
    with pytest.raises(Unfit, match="it has more than 4 bytes"):
        folder.read("it", 4)


@pytest.mark.parametrize("size, said", [(4, "more than the 4 bytes"), (6, "fewer than the 6 bytes")])
def test_a_file_of_another_size_is_not_copied(size: int, said: str, folder: Folder, tmp_path: Path):
    (tmp_path / "shared" / "it").write_bytes(b"12345")
    with opened(folder.open("it")) as source, opened(folder.create("copy")) as copy, pytest.raises(Unfit, match=said):
        copy_bytes(source, size, copy)
    assert (tmp_path / "shared" / "copy").stat().st_size <= 5


def test_a_device_that_never_ends_is_left(folder: Folder):
    with opened(os.open("/dev/zero", os.O_RDONLY)) as endless, pytest.raises(Unfit, match="more than the 3,000,000"):
        copy_bytes(endless, 3_000_000)


def test_folders_in_each_other_without_end_are_left(folder: Folder, tmp_path: Path):
    path = tmp_path / "shared" / "it"
    for _ in range(DEEPEST + 2):
        path.mkdir()
        path = path / "it"
    for act in (folder.remove, lambda _: list(folder.files())):
        with pytest.raises(Unfit, match=f"{DEEPEST}"):
            act("it")
