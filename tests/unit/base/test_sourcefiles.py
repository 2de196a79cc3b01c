"""Which files of a folder are read, and that nothing but a file is ever waited for."""

import os
import socket

import pytest

from waferbench.base.errors import InputError
from waferbench.base.files import data_digest
from waferbench.base.regular import is_regular, open_regular, read_small
from waferbench.base.sourcefiles import KINDS, NETWORK, files_of, passed_over

LEFT = [
    "README.md",
    "Thumbs.db",
    ".DS_Store",
    "._a.png",
    "Loc/desktop.ini",
    "Loc/a.png~",
    "Loc/.b.npy.swp",
    "Loc/n.txt",
]


@pytest.fixture
def maps(tmp_path):
    for name in ("Loc/a.png", "Loc/b.NPY", "Scratch/c.npy"):
        (tmp_path / "maps" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "maps" / name).write_bytes(name.encode())
    return tmp_path / "maps"


def names(folder, files):
    return [file.relative_to(folder).as_posix() for file in files]


def test_what_lies_beside_the_wafers_is_no_part_of_them(maps):
    before, digest = files_of(maps, KINDS["folder"]), data_digest(maps, "folder")
    assert names(maps, before) == ["Loc/a.png", "Loc/b.NPY", "Scratch/c.npy"]
    for name in [*LEFT, "__MACOSX/a.png", ".git/a.png", "Loc/deeper/a.png", "above.png"]:
        (maps / name).parent.mkdir(exist_ok=True)
        (maps / name).write_text("of no account")
    assert files_of(maps, KINDS["folder"]) == before and data_digest(maps, "folder") == digest
    assert set(names(maps, passed_over(maps, KINDS["folder"]))) == {*LEFT, "above.png"}
    assert names(maps, set(files_of(maps)) - set(before)) == ["above.png"], "one's own wafers need no class"


def test_what_a_source_reads_decides_what_counts(maps):
    before = data_digest(maps, "folder"), data_digest(maps, "g85")
    (maps / "Loc" / "notes.xml").write_text("<Map/>")
    assert data_digest(maps, "folder") == before[0] and data_digest(maps, "g85") != before[1]


def test_a_model_is_its_parts(tmp_path):
    for name in ("unet/config.json", "unet/a.safetensors", "tokenizer/merges.txt", "model_index.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    before = files_of(tmp_path)
    assert len(before) == 4 == len(files_of(tmp_path, NETWORK))
    (tmp_path / "unet" / ".DS_Store").write_text("1")
    (tmp_path / "README.md").write_text("1")
    assert files_of(tmp_path) == before


def test_wafers_in_a_linked_class_folder_are_seen(tmp_path, maps):
    (tmp_path / "elsewhere").mkdir()
    (maps / "Donut").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "wafer.npy").write_bytes(b"1")
    assert "Donut/wafer.npy" in names(maps, files_of(maps))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (os.mkfifo, r"found a named pipe \(FIFO\)"),
        (make_socket, "found a socket"),
        (lambda path: path.symlink_to("/dev/zero"), "found a device"),
    ],
)
def test_what_is_no_file_is_named_and_not_waited_for(maps, make, told):
    path = maps / "Loc" / "x.npy"
    make(path)
    for look in (
        lambda: open_regular(path),
        lambda: files_of(maps),
        lambda: data_digest(maps),
        lambda: data_digest(path),
    ):
        with pytest.raises(InputError, match=rf"x\.npy: {told}, expected a file"):
            look()


def test_what_takes_a_files_place_between_a_look_and_the_opening_is_not_waited_for(tmp_path, monkeypatch):
    path = tmp_path / "x"
    os.mkfifo(path)
    monkeypatch.setattr("waferbench.base.regular.is_regular", lambda _: True)
    with pytest.raises(InputError, match="named pipe"):
        open_regular(path)


def test_what_is_not_there_is_named(maps):
    (maps / "Loc" / "x.png").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"x\.png: found a link to nothing"):
        files_of(maps)
    assert not is_regular(maps / "absent") and not is_regular(maps / "Loc" / "a.png" / "below")
    with pytest.raises(InputError, match="absent: nothing there"):
        open_regular(maps / "absent")
    with pytest.raises(InputError, match="Loc: found a folder"):
        open_regular(maps / "Loc")


def test_a_small_file_is_read_no_further_than_it_may_be(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_small(tmp_path / "a", 5) == b"12345"
    with pytest.raises(InputError, match="more than 4 bytes"):
        read_small(tmp_path / "a", 4)
