"""What the next stage reads of an artifact has a digest of its own, which how it was made does not change."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from waferbench.base import artifacts
from waferbench.base.files import digest
from waferbench.base.seals import MAKING, describe, payload_digest

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "s": np.array(["ä", "b"]), "empty": np.zeros((0, 4)), "one": np.array(7)}
TABLE = pd.DataFrame({"wafer_id": ["a", None], "n": [1.5, np.nan], "held": [True, False], "of": ["x", "y"]})
WRITERS = {
    "x.h5": lambda path, told: artifacts.write_h5(path, ARRAYS, told),
    "x.parquet": lambda path, told: artifacts.write_table(path, TABLE, told),
    "x.json": lambda path, told: artifacts.write_json(path, {"b": 2, "a": [1]}, told),
    "x.safetensors": lambda path, told: artifacts.write_weights(path, {"w": torch.arange(3.0)}, told),
}
OTHERS = {
    "a value": {
        "x.h5": lambda path: artifacts.write_h5(path, {**ARRAYS, "one": np.array(8)}),
        "x.parquet": lambda path: artifacts.write_table(path, TABLE.assign(n=[1.5, 0.0])),
        "x.json": lambda path: artifacts.write_json(path, {"b": 3, "a": [1]}),
        "x.safetensors": lambda path: artifacts.write_weights(path, {"w": torch.arange(3.0) + 1}),
    },
    "a name": {
        "x.h5": lambda path: artifacts.write_h5(path, {("z" if k == "a" else k): v for k, v in ARRAYS.items()}),
        "x.parquet": lambda path: artifacts.write_table(path, TABLE.rename(columns={"n": "m"})),
        "x.json": lambda path: artifacts.write_json(path, {"c": 2, "a": [1]}),
        "x.safetensors": lambda path: artifacts.write_weights(path, {"v": torch.arange(3.0)}),
    },
    "a type": {
        "x.h5": lambda path: artifacts.write_h5(path, {**ARRAYS, "a": ARRAYS["a"].astype(np.float32)}),
        "x.parquet": lambda path: artifacts.write_table(path, TABLE.astype({"held": int})),
        "x.json": lambda path: artifacts.write_json(path, {"b": "2", "a": [1]}),
        "x.safetensors": lambda path: artifacts.write_weights(path, {"w": torch.arange(3)}),
    },
    "a shape": {
        "x.h5": lambda path: artifacts.write_h5(path, {**ARRAYS, "a": ARRAYS["a"].reshape(3, 2)}),
        "x.parquet": lambda path: artifacts.write_table(path, TABLE.iloc[:1]),
        "x.json": lambda path: artifacts.write_json(path, {"b": 2, "a": 1}),
        "x.safetensors": lambda path: artifacts.write_weights(path, {"w": torch.arange(3.0)[None]}),
    },
}


@pytest.mark.parametrize("name", WRITERS)
def test_how_it_was_made_changes_the_file_and_not_its_payload(name, tmp_path):
    first, second = tmp_path / "1" / name, tmp_path / "2" / name
    WRITERS[name](first, {"cell": {"fold": 1}})
    WRITERS[name](second, {"cell": {"fold": 1}, **dict.fromkeys(MAKING, "other")})
    assert digest(first) != digest(second)
    assert payload_digest(first) == payload_digest(second)


@pytest.mark.parametrize("name", WRITERS)
def test_what_provenance_tells_beyond_the_making_is_read_later_and_counts(name, tmp_path):
    for fold in (0, 1):
        WRITERS[name](tmp_path / str(fold) / name, {"cell": {"fold": fold}})
    assert payload_digest(tmp_path / "0" / name) != payload_digest(tmp_path / "1" / name)


@pytest.mark.parametrize("change", OTHERS)
@pytest.mark.parametrize("name", WRITERS)
def test_any_change_of_the_content_is_another_payload(name, change, tmp_path):
    WRITERS[name](tmp_path / "1" / name, {})
    OTHERS[change][name](tmp_path / "2" / name)
    assert payload_digest(tmp_path / "1" / name) != payload_digest(tmp_path / "2" / name)


@pytest.mark.parametrize("name", ["x.h5", "x.parquet"])
def test_another_process_finds_the_same(name, tmp_path):
    WRITERS[name](tmp_path / name, {})
    file = str(tmp_path / "again" / name)
    script = f"import test_payload, pathlib; test_payload.WRITERS[{name!r}](pathlib.Path({file!r}), {{}})"
    path = [str(Path(artifacts.__file__).parents[2]), str(Path(__file__).parent)]
    subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {script}"], check=True)
    assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_folder_is_known_by_its_list_of_files(tmp_path):
    for code in "12":
        (tmp_path / code / "unet").mkdir(parents=True)
        (tmp_path / code / "unet" / "weights").write_bytes(b"abc")
        artifacts.write_json(tmp_path / code / "waferbench.json", {"files": describe(tmp_path / code)}, {"code": code})
    assert payload_digest(tmp_path / "1") == payload_digest(tmp_path / "2")


def test_a_file_of_others_is_known_by_all_of_its_bytes(tmp_path):
    mark = f"waferbench-payload:{'0' * 64}"
    for name, text in {"a.csv": mark, "b.json": "{}", "c.json": mark + mark, "d.json": ""}.items():
        (tmp_path / name).write_text(text)
        assert payload_digest(tmp_path / name) == digest(tmp_path / name)
