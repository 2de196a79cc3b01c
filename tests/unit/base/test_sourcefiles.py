"""What tells one of the user's own files from another."""

import os

from waferbench.base.sourcefiles import fingerprint, own_weights


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
    before = fingerprint({"source": "folder", "path": str(tmp_path / "mine")})
    (tmp_path / "elsewhere" / "wafer.npy").write_bytes(b"1")
    assert before != fingerprint({"source": "folder", "path": str(tmp_path / "mine")})
