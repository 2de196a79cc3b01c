"""What tells one of the user's own files from another."""

import os

from waferbench.sourcefiles import own_weights


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
