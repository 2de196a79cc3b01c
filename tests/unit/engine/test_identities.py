"""The user's own files are known by their content, and large ones are read once."""

import os
import time

import numpy as np
import pytest

from waferbench.base.errors import InputError
from waferbench.base.files import data_digest
from waferbench.base.sourcefiles import WAFERS
from waferbench.config.study import Dataset
from waferbench.engine import memo
from waferbench.engine.identities import Weights, hold_weights, own_wafers, own_weights, place
from waferbench.engine.memo import MEMO, known_digest


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """An empty folder to work in; every file is worth remembering, as soon as it is there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memo, "WORTH", 0)
    monkeypatch.setattr(memo, "SETTLED", -1.0)
    return tmp_path


@pytest.fixture
def reads(monkeypatch):
    """The files and folders that were read to know them."""
    read, found = memo.content_digest, []
    monkeypatch.setattr(memo, "content_digest", lambda path, kind: (found.append(path), read(path, kind))[1])
    return found


def data(path, content=b"1", source="npz"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Dataset(source=source, path=str(path))


def test_data_replaced_with_equal_size_and_time_are_seen(work):
    mine = data(work / "a.npz", b"one")
    os.utime(mine.path, (1000, 1000))
    before = place(mine).identity
    (work / "a.npz").write_bytes(b"two")
    os.utime(mine.path, (1000, 1000))
    assert place(mine).identity != before == place(data(work / "b.npz", b"one")).identity


def test_a_map_of_a_folder_replaced_with_equal_size_and_time_is_seen(work):
    for value in (1, 2):
        (work / "maps" / "Loc").mkdir(parents=True, exist_ok=True)
        np.save(work / "maps" / "Loc" / "a.npy", np.full((3, 3), value, np.uint8))
        os.utime(work / "maps" / "Loc" / "a.npy", (1000, 1000))
    mine = Dataset(source="folder", path=str(work / "maps"))
    before = place(mine).identity
    np.save(work / "maps" / "Loc" / "a.npy", np.ones((3, 3), np.uint8))
    os.utime(work / "maps" / "Loc" / "a.npy", (1000, 1000))
    assert place(mine).identity != before


def test_a_touched_or_copied_file_is_the_same(work):
    mine = data(work / "a.npz")
    before = place(mine).identity
    os.utime(mine.path, (1000, 1000))
    assert place(mine).identity == before == place(data(work / "b" / "other.npz")).identity
    assert before == data_digest(mine.path, mine.source)[:16], "as artifacts tell it"


def test_what_lies_beside_the_wafers_changes_no_identity(work):
    data(work / "maps" / "Loc" / "a.npy")
    mine = Dataset(source="folder", path=str(work / "maps"))
    before = place(mine).identity, own_wafers(mine.path)
    for name in (".DS_Store", "README.md", "Loc/Thumbs.db", "Loc/a.npy~", "Loc/._a.npy"):
        (work / "maps" / name).write_text("1")
    assert (place(mine).identity, own_wafers(mine.path)) == before


def test_what_is_large_is_read_once(work, reads):
    mine = data(work / "a.npz")
    assert place(mine) == place(mine) and len(reads) == 1
    time.sleep(0.01)  # a tick of the clock
    os.utime(mine.path, (1000, 1000))
    assert place(mine) and len(reads) == 2, "a touched file is read again"
    data(work / "a.npz", b"2")
    assert place(mine) and len(reads) == 3


def test_what_is_small_leaves_no_trace(work, reads, monkeypatch):
    monkeypatch.setattr(memo, "WORTH", 2**22)
    mine = data(work / "a.npz")
    assert place(mine) == place(mine) and len(reads) == 2 and not MEMO.exists()


def test_a_file_as_young_as_its_digest_is_not_remembered(work, reads, monkeypatch):
    monkeypatch.setattr(memo, "SETTLED", 2.0)
    mine = data(work / "a.npz")
    os.utime(mine.path, (1000, 1000))  # which hides the time of writing, but not that of the last change
    assert place(mine) == place(mine) and len(reads) == 2
    monkeypatch.setattr(memo.time, "time", lambda: os.stat(mine.path).st_ctime + 3)
    assert place(mine) == place(mine) and len(reads) == 3


def test_a_file_from_the_future_is_read_each_time(work, reads):
    mine = data(work / "a.npz")
    os.utime(mine.path, (time.time() + 1000, time.time() + 1000))
    assert place(mine) == place(mine) and len(reads) == 2


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"%s": ["x", 1]}', b'{"%s": null}'])
def test_a_damaged_memo_is_made_anew(work, reads, content):
    mine = data(work / "a.npz")
    expected = place(mine)
    MEMO.write_bytes(content.replace(b"%s", mine.path.encode()))
    assert place(mine) == expected == place(mine) and len(reads) == 2


def test_a_memo_that_is_no_file_or_too_large_is_not_read(work, reads):
    mine = data(work / "a.npz")
    expected = place(mine)
    MEMO.unlink()
    os.mkfifo(MEMO)
    assert place(mine) == expected and len(reads) == 2
    MEMO.write_bytes(b" " * (memo.MOST_BYTES + 1))
    assert place(mine) == expected and len(reads) == 3


def test_where_nothing_can_be_written_the_file_is_read_each_time(work, reads):
    (work / ".snakemake").write_text("no folder")
    mine = data(work / "a.npz")
    assert place(mine) == place(mine) and len(reads) == 2


def test_the_memo_stays_small(work, monkeypatch):
    monkeypatch.setattr(memo, "MOST_ENTRIES", 3)
    for i in range(5):
        place(data(work / f"{i}.npz"))
    assert list(memo._entries(MEMO)) == [str(work / f"{i}.npz") for i in (2, 3, 4)]


def test_reading_gigabytes_is_told(work, capsys, monkeypatch):
    monkeypatch.setattr(memo, "LONG", 2)
    mine = data(work / "a.npz", b"1234")
    place(mine)
    assert "a.npz: reading 0.0 GB to know the content" in capsys.readouterr().err
    place(mine)
    assert not capsys.readouterr().err


def test_a_file_that_changes_while_it_is_read_is_not_remembered(work, monkeypatch):
    path, read = work / "a.npz", memo.content_digest
    path.write_bytes(b"1")

    def slowly(path, kind):
        found = read(path, kind)
        path.write_bytes(b"22")
        return found

    monkeypatch.setattr(memo, "content_digest", slowly)
    known_digest(path, WAFERS)
    assert not MEMO.exists()


def test_data_that_are_not_there_or_of_another_kind_are_named(work):
    (work / "file").touch()
    os.mkfifo(work / "pipe")
    assert place(Dataset()).identity == "", "simulated wafers come from no file"
    for source, path, told in (
        ("npz", "nowhere", "nothing at .*nowhere"),
        ("folder", "file", "file is not a folder with a folder per class"),
        ("npz", ".", "is not a file, which dataset.source = npz needs"),
        ("npz", "pipe", "pipe: found a named pipe"),
        ("g85", "pipe", "pipe: found a named pipe"),
        ("folder", "pipe", "pipe: found a named pipe"),
        ("dielist", "/dev/zero", "/dev/zero: found a device"),
    ):
        with pytest.raises(InputError, match=told):
            place(Dataset(source=source, path=path))
    assert place(Dataset(source="g85", path=str(work))).identity, "SEMI G85 maps are a file or a folder"


def test_weights_are_known_by_content_and_not_by_place(work):
    for folder, content in (("a", b"1" * 100_000), ("b", b"1" * 100_000), ("c", b"1" * 99_999 + b"2")):
        data(work / folder / "net.safetensors", content)
    of = {name: Weights({"net": {}}, name).of("net").own_file for name in "abc"}
    assert of["a"] == of["b"] != of["c"] and of["a"]
    os.utime(work / "b" / "net.safetensors", (2000, 2000))
    assert own_weights("b", ["net.safetensors", "other.pth"]) == of["a"]
    assert own_weights("", ["net.safetensors"]) == own_weights(".", ["net.safetensors"]) == ""


def test_a_file_that_no_network_reads_is_no_weights_of_it(work):
    data(work / "model.safetensors")
    data(work / "port.pth", b"2")
    of = {
        kind: Weights({"net": {"sources": [{"kind": kind, "file": f"files/{file}"}]}}, str(work)).of("net").own_file
        for kind, file in (("hub", "model.safetensors"), ("wheel", "port.pth"), ("url", "port.pth"))
    }
    assert of["hub"] == "" and of["wheel"] == of["url"] == own_weights(str(work), ["port.pth"]) != ""


def test_own_weights_replaced_added_or_removed_after_the_plan_are_seen(work):
    def plan():
        return Weights({"net": {}}, str(work)).of("net")

    before, path = plan(), data(work / "net.safetensors").path
    known = plan()
    hold_weights("net", known, str(work))
    with pytest.raises(InputError, match=r"net in .*changed since the study was planned: found .*, expected none"):
        hold_weights("net", before, str(work))
    data(work / "net.safetensors", b"22")
    with pytest.raises(InputError, match=f"expected {known.own_file}"):
        hold_weights("net", known, str(work))
    os.unlink(path)
    with pytest.raises(InputError, match="found none"):
        hold_weights("net", known, str(work))


def test_weights_or_wafers_that_are_a_pipe_are_named(work):
    os.mkfifo(work / "net.safetensors")
    with pytest.raises(InputError, match=r"net\.safetensors: found a named pipe"):
        Weights({"net": {}}, str(work)).of("net")
    with pytest.raises(InputError, match=r"net\.safetensors: found a named pipe"):
        own_wafers(str(work / "net.safetensors"))
    assert own_wafers(str(work / "absent")) == ""
