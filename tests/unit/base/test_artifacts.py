import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from waferbench.base import artifacts
from waferbench.base.errors import InputError

SCRIPTS = Path(artifacts.__file__).parents[2]
FRAME = pd.DataFrame({"wafer_id": ["a", "b"], "value": [1.5, 2.5]})
WRITERS = {
    "x.h5": lambda path: artifacts.write_h5(
        path, {"a": np.arange(6).reshape(2, 3), "s": np.array(["ä", "b"])}, {"k": 1}
    ),
    "x.parquet": lambda path: artifacts.write_table(path, FRAME, {"k": 1}),
    "x.json": lambda path: artifacts.write_json(path, {"a": 1}, {"k": 1}),
    "x.safetensors": lambda path: artifacts.write_weights(path, {"w": torch.arange(3.0)}, {"k": 1}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_equal_content_is_equal_bytes_and_carries_provenance(name, tmp_path):
    first, second = tmp_path / "1" / name, tmp_path / "2" / name
    WRITERS[name](first)
    WRITERS[name](second)
    assert first.read_bytes() == second.read_bytes()
    assert artifacts.read_provenance(first) == {"k": 1}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_old_artifact(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"could not write .*No space left.*free space"):
        WRITERS[name](path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [name]


FULL_DISK = """
import resource, signal, sys
sys.path[:0] = {path!r}
import numpy as np, pandas as pd, torch
from waferbench.base import artifacts
from waferbench.learning.runtime import Checkpoint
noise = np.random.default_rng(0).random(200_000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file that may not grow fails to be written, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
write = {{
    "x.h5": lambda path: artifacts.write_h5(path, {{"a": noise}}),
    "x.parquet": lambda path: artifacts.write_table(path, pd.DataFrame({{"a": noise}})),
    "x.json": lambda path: artifacts.write_json(path, {{"a": noise.tolist()}}),
    "x.safetensors": lambda path: artifacts.write_weights(path, {{"a": torch.from_numpy(noise)}}),
    "x.pt": lambda path: Checkpoint({folder!r}, "x").save({{"a": torch.from_numpy(noise)}}),
}}
try:
    write[{name!r}]({folder!r} + "/" + {name!r})
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("name", [*WRITERS, "x.pt"])
def test_a_write_that_fails_midway_leaves_the_old_artifact(name, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    script = FULL_DISK.format(path=[str(SCRIPTS)], folder=str(tmp_path), name=name)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "could not write" in done.stdout and "free space" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_round_trips(tmp_path):
    for name, write in WRITERS.items():
        write(tmp_path / name)
    arrays = artifacts.read_h5(tmp_path / "x.h5")
    assert arrays["a"].tolist() == [[0, 1, 2], [3, 4, 5]] and arrays["s"].tolist() == ["ä", "b"]
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "x.parquet"), FRAME)
    assert artifacts.read_json(tmp_path / "x.json") == {"a": 1}
    assert artifacts.read_weights(tmp_path / "x.safetensors")["w"].tolist() == [0, 1, 2]


def test_unreadable_artifacts_are_named(tmp_path):
    for name, read in (("x.h5", artifacts.read_h5), ("x.parquet", artifacts.read_table)):
        (tmp_path / name).write_bytes(b"half a file")
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)
    WRITERS["x.h5"](tmp_path / "x.h5")
    with pytest.raises(InputError, match="no array 'b'"):
        artifacts.read_h5(tmp_path / "x.h5", ["b"])
