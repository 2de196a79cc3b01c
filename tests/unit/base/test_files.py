"""Files are written whole or not at all, and known by their content."""

import errno
import json
import os

import pytest

from waferbench.base.errors import InputError, WriteError
from waferbench.base.files import atomic, canonical_json, data_digest, digest, partial, partials, sync_all


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a[1].txt"
    with atomic(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary == partial(path) and list(partials(path)) == [temporary]
    assert path.read_text() == "half" and os.listdir(path.parent) == ["a[1].txt"]


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    """As a power cut would show: the bytes are synced under the temporary name, then the folder under the new one."""
    path, synced = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.readlink(f"/proc/self/fd/{file}"), path.exists())))
    with atomic(path) as temporary:
        temporary.write_text("1")
    assert synced == [(str(temporary), False), (str(tmp_path), True)]


def test_a_folder_is_synced_with_all_in_it(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("1")
    synced = set()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.readlink(f"/proc/self/fd/{file}")))
    sync_all(tmp_path)
    assert synced == {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")}


def test_a_file_system_that_knows_no_syncing_is_used_all_the_same(tmp_path, monkeypatch):
    def failing(code):
        def fsync(_):
            raise OSError(code, os.strerror(code))

        return fsync

    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    with atomic(tmp_path / "a") as temporary:
        temporary.write_text("1")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(WriteError, match="Input/output error"), atomic(tmp_path / "b") as temporary:
        temporary.write_text("1")
    assert os.listdir(tmp_path) == ["a"], "a disk that fails while it syncs leaves no file"


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic(path) as temporary:
        temporary.write_text("new")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("torch says\nmore")])
def test_a_failed_write_says_what_to_do(tmp_path, error):
    told = r"could not write .*a\.txt \((No space left|torch says).*; free space"
    with pytest.raises(InputError, match=told), atomic(tmp_path / "a.txt"):
        raise error
    assert os.listdir(tmp_path) == []


def test_equal_values_are_one_text():
    assert canonical_json({"b": [1, "ä"], "a": None}) == canonical_json({"a": None, "b": (1, "ä")})
    assert json.loads(canonical_json({"a": 1})) == {"a": 1} and " " not in canonical_json({"a": [1, 2]})


def test_folder_digest_sees_names_and_content(tmp_path):
    (tmp_path / "a").write_text("1")
    before = digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({before, renamed, digest(tmp_path)}) == 3


def test_data_are_known_by_content_wherever_they_lie(tmp_path):
    for place in ("one", "other"):
        (tmp_path / place / "Loc").mkdir(parents=True)
        (tmp_path / place / "Loc" / "a.npy").write_text("1")
    assert data_digest(tmp_path / "one") == data_digest(tmp_path / "other")
    (tmp_path / "other" / "Loc" / "a.npy").write_text("2")
    assert data_digest(tmp_path / "one") != data_digest(tmp_path / "other")
    assert data_digest(tmp_path / "one/Loc/a.npy") == digest(tmp_path / "one/Loc/a.npy")
