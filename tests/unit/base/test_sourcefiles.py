"""What tells one of the user's own files from another."""

import os

import pytest

from waferbench.base.errors import InputError
from waferbench.base.sourcefiles import fingerprint, own_weights
from waferbench.config.study import Dataset


def test_weights_are_known_by_size_and_time_and_not_by_place(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "net.safetensors").write_bytes(b"weights")
        os.utime(tmp_path / place / "net.safetensors", (1000, 1000))
    names = ["net.safetensors", "other.pth"]
    found = own_weights(str(tmp_path / "a"), names)
    assert found and found == own_weights(str(tmp_path / "b"), names)
    os.utime(tmp_path / "b" / "net.safetensors", (2000, 2000))
    assert found != own_weights(str(tmp_path / "b"), names)
    assert own_weights("", names) == own_weights(str(tmp_path), names) == ""


def test_a_folder_of_weights_is_known_by_its_files(tmp_path):
    base = tmp_path / "base"
    (base / "unet").mkdir(parents=True)
    (base / "unet" / "weights").write_bytes(b"1")
    before = own_weights("", [], base)
    (base / "unet" / "weights").write_bytes(b"22")
    assert before and before != own_weights("", [], base)


def test_weights_of_one_size_and_time_are_told_apart_by_their_content(tmp_path):
    for place, content in (("a", b"1" * 100_000), ("b", b"2" * 100_000)):
        (tmp_path / place).mkdir()
        (tmp_path / place / "net.safetensors").write_bytes(content)
        os.utime(tmp_path / place / "net.safetensors", (1000, 1000))
    found = [own_weights(str(tmp_path / place), ["net.safetensors"]) for place in "ab"]
    assert found[0] != found[1]


def test_wafers_in_a_linked_class_folder_are_seen(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "Scratch").symlink_to(tmp_path / "elsewhere")
    mine = Dataset(source="folder", path=str(tmp_path / "mine"))
    before = fingerprint(mine)
    (tmp_path / "elsewhere" / "wafer.npy").write_bytes(b"1")
    assert before != fingerprint(mine)


def test_a_replaced_file_is_another_whatever_its_age(tmp_path):
    file = tmp_path / "a.npz"
    file.write_bytes(b"1")
    data = Dataset(source="npz", path=str(file))
    before = fingerprint(data)
    assert before == fingerprint(data)
    os.utime(file, (1000, 1000))
    assert before != fingerprint(data)
    assert fingerprint(Dataset()) == "", "simulated wafers come from no file"


def test_data_that_are_not_there_or_of_another_kind_are_named(tmp_path):
    (tmp_path / "file").touch()
    for source, path, told in (
        ("npz", tmp_path / "nowhere", "nothing at .*nowhere"),
        ("folder", tmp_path / "file", "file is not a folder with a folder per class"),
        ("npz", tmp_path, "is not a file, which dataset.source = npz needs"),
    ):
        with pytest.raises(InputError, match=f"dataset.path: .*{told}"):
            fingerprint(Dataset(source=source, path=str(path)))
    assert fingerprint(Dataset(source="g85", path=str(tmp_path))), "SEMI G85 maps are a file or a folder"
