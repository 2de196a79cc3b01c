"""What is taken from a store is what the next job asks of its inputs, whatever its writer has recorded."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.stored import KEY, RECORD, entry
from waferbench.base.artifacts import write_h5, write_json, write_table, write_weights
from waferbench.base.seals import FACTS, describe, seal, verify
from waferbench.engine.entries import MANIFEST, SEAL, _seal
from waferbench.engine.store import Store

WRITERS = {
    "out.json": lambda path: write_json(path, {"n": 1}),
    "out.h5": lambda path: write_h5(path, {"n": np.arange(3)}),
    "out.parquet": lambda path: write_table(path, pd.DataFrame({"n": [1]})),
    "out.safetensors": lambda path: write_weights(path, {"n": torch.ones(2)}),
    "base": lambda path: folder(path, {"unet/part": "weights"}),
    "out.onnx": lambda path: path.write_bytes(b"onnx"),
    "out.html": lambda path: path.write_text("<p>"),
}


def folder(path: Path, files: dict[str, str], facts: dict | None = None) -> None:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    write_json(path / FACTS, {"files": describe(path)} if facts is None else facts)


def forge(store: Store, make) -> None:
    """Put something else in the place of an entry's one output, with a manifest that agrees with it."""
    there = entry(store)
    shutil.rmtree(there / "0") if (there / "0").is_dir() else (there / "0").unlink()
    make(there / "0")
    content = describe(there / "0") if (there / "0").is_dir() else {"": describe(there)["0"]}
    known = json.loads((there / MANIFEST).read_text())
    known["outputs"] = [{name: [(there / "0" / name).stat().st_size, sha] for name, sha in content.items()}]
    del known[SEAL]
    (there / MANIFEST).write_text(json.dumps({**known, SEAL: _seal(known)}))


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_outputs_of_every_kind_are_kept(name: str, linked: bool, tmp_path: Path):
    store = Store(tmp_path / "store", linked)
    WRITERS[name](tmp_path / name)
    store.add(KEY, [tmp_path / name], RECORD)
    forge(store, lambda path: shutil.move(tmp_path / name, path))  # what it does leaves a sound entry sound
    assert store.fetch(KEY, [tmp_path / name]) == RECORD and (tmp_path / name).exists()


def whole(path: Path) -> None:
    folder(path, {"part": "weights"})


def swapped(path: Path) -> None:
    """An artifact that says of itself what it is not."""
    write_json(path, {"n": 1})
    path.write_text(path.read_text().replace('"n": 1', '"n": 2'))


def without_bound(path: Path) -> None:
    folder(path, {"part": "weights"}, {"files": {"n" * 2**20: ""}})


def not_json(path: Path) -> None:
    """What carries its digest like an artifact, and is none."""
    path.mkdir()
    (path / FACTS).write_text("[" * 100_000 + "waferbench-sha256:" + "0" * 64)
    seal(path / FACTS)


FORGED = {
    "no artifact": ("out.json", lambda path: path.write_text("{}"), "the digest that it was written with is not in it"),
    "an empty table": ("out.parquet", Path.touch, "out.parquet is no artifact: damaged: it is empty"),
    "another content": ("out.json", swapped, "its content has sha256"),
    "a folder for a table": ("out.parquet", whole, "out.parquet is a folder"),
    "a file for a folder": ("base", lambda path: write_json(path, {"n": 1}), "base is a file"),
    "a folder that is none": ("base", lambda path: [path.mkdir(), (path / "a").touch()], f"{FACTS} is missing in it"),
    "a file more than it tells": ("base", lambda path: folder(path, {"a": ""}, {"files": {}}), "a is another file"),
    "a list for its files": ("base", lambda path: folder(path, {"a": ""}, {"files": []}), "base is no artifact"),
    "nothing of its files": ("base", lambda path: folder(path, {"a": ""}, {}), "base is no artifact"),
    "facts without end": ("base", without_bound, f"base/{FACTS} has more than 1,048,576 bytes"),
    "facts that are none": ("base", not_json, "base is no artifact"),
}


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("what", FORGED)
def test_what_the_next_job_would_fail_on_is_not_served(what: str, linked: bool, tmp_path: Path, capsys):
    name, make, said = FORGED[what]
    store, place = Store(tmp_path / "store", linked), tmp_path / "mine" / name
    WRITERS[name](tmp_path / name)
    store.add(KEY, [tmp_path / name], RECORD)
    forge(store, make)
    assert store.fetch(KEY, [place]) is None
    told = capsys.readouterr().err
    assert "is damaged (" in told and said in told and "it is removed, and made anew here" in told
    assert not list(place.parent.iterdir()) and not list(store.folder.iterdir())
    store.add(KEY, [tmp_path / name], RECORD)
    assert store.fetch(KEY, [place]) == RECORD
    verify(place)


@pytest.mark.parametrize("what", FORGED)
def test_what_the_next_job_would_fail_on_is_not_kept(what: str, tmp_path: Path, capsys):
    name, make, said = FORGED[what]
    make(tmp_path / name)
    store = Store(tmp_path / "store", linked=True)
    store.add(KEY, [tmp_path / name], RECORD)
    told = capsys.readouterr().err
    assert "nothing added" in told and said in told and not list(store.folder.iterdir())
