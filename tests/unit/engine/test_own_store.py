"""A study's own store is held to its bound, and said to be elsewhere where it is."""

from pathlib import Path

import pytest

from waferbench.base.seals import STORE
from waferbench.engine.reuse import told, trim
from waferbench.engine.store import Store


@pytest.fixture(autouse=True)
def unpatched(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two entries of 100 kB, one of them a present result."""
    for i in range(2):
        (tmp_path / "out.bin").unlink(missing_ok=True)
        (tmp_path / "out.bin").write_bytes(bytes([i]) * 100_000)
        Store(tmp_path / STORE, linked=True).add({"i": i}, [tmp_path / "out.bin"], {})
    return tmp_path


def test_what_the_study_shows_no_more_is_cleared_beyond_the_bound(study: Path):
    trim(study, 0.01)
    assert len(list((study / STORE).iterdir())) == 2
    trim(study, 0)
    assert len(list((study / STORE).iterdir())) == 1
    (study / "out.bin").unlink()
    assert Store(study / STORE, linked=True).fetch({"i": 1}, [study / "out.bin"]) == {}


def test_a_store_that_cannot_be_cleared_is_told_and_hurts_nothing(study: Path, capsys, monkeypatch):
    (study / "out.bin").replace(study / "away")
    monkeypatch.setattr("os.listdir", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    monkeypatch.setattr("os.scandir", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    trim(study, 0)
    assert "store: " in (said := capsys.readouterr().err) and "Permission denied" in said


def test_a_store_beside_its_results_is_not_worth_a_word(study: Path):
    assert told(study) == [] == told(study / "nothing")


def test_a_patched_python_is_told_beforehand(study: Path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(study))
    assert told(study) == [
        f"PYTHONPATH names {study}: what this Python computes may not be what its packages do, and is not kept"
    ]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no second file system here")
def test_a_store_on_another_file_system_is_told(tmp_path: Path):
    if Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("the temporary folder is on the same file system")
    (tmp_path / STORE).symlink_to("/dev/shm")
    assert "cannot share files" in told(tmp_path)[0]
