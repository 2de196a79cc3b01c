"""Artifacts: HDF5 arrays, Parquet tables, safetensors weights, JSON facts.

Each is written to a temporary name and renamed, carries its provenance, a digest of its payload and one of the whole
file, and has no timestamp, so that equal content is equal bytes. ``provenance`` is any JSON-able mapping.

The payload is what the next stage reads: the arrays, table, tensors or facts, and what ``provenance`` tells beyond the
artifact's making (`waferbench.base.seals.MAKING`). Artifacts of equal payload are one to all that follows.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from waferbench.base.errors import InputError, readable
from waferbench.base.files import atomic, canonical_json
from waferbench.base.seals import BLANK, MAKING, PAYLOAD_MARK, seal

KEY = "waferbench"
PAYLOAD = "sha256_of_payload"
SEAL = "sha256_of_this_file"
RERUN = "delete it and rerun"
MOST_FIXED = 60_000  # bytes of a text of fixed length beside the arrays
MOST_SWELL = 2000  # bytes of an array a packed byte: gzip reaches a thousand


def write_h5(path: str | Path, arrays: Mapping[str, np.ndarray], provenance: Mapping | None = None) -> None:
    """Write named arrays (numeric, or str as UTF-8) to one HDF5 file, gzip-compressed.

    Texts are of fixed length: where HDF5 keeps others, one wrong byte can keep its reader busy for ever.
    """
    ready = {name: _fixed(np.asarray(arrays[name])) for name in sorted(arrays)}
    payload = _payload(provenance, (part for name, array in ready.items() for part in _parts(name, array)))
    with atomic(path) as temporary:
        with h5py.File(temporary, "w", track_order=False) as file:
            text = canonical_json(dict(provenance or {})).encode()
            fixed = len(text) if len(text) < MOST_FIXED else None
            file.attrs.create(KEY, text, dtype=h5py.string_dtype(length=fixed))
            for name, mark in ((PAYLOAD, payload), (SEAL, BLANK)):
                file.attrs.create(name, mark.encode(), dtype=h5py.string_dtype(length=len(mark)))
            for name, array in ready.items():
                packed = {"compression": "gzip", "compression_opts": 1} if array.size and array.ndim else {}
                file.create_dataset(name, data=array, track_times=False, **packed)
        seal(temporary)


def _fixed(array: np.ndarray) -> np.ndarray:
    """Texts as UTF-8 of fixed length, numbers as they are."""
    if array.dtype.kind not in "UO":
        return array
    texts = np.char.encode(array.astype(str), "utf-8")
    return texts.astype(h5py.string_dtype(length=max(1, texts.dtype.itemsize)))


def _parts(name: str, array: np.ndarray) -> Iterable[bytes | memoryview]:
    yield f"{name} {array.dtype.str} {array.shape}\n".encode()
    yield memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _payload(provenance: Mapping | None, parts: Iterable[bytes | memoryview]) -> str:
    """The mark of a payload: sha256 of its parts, and of what the provenance tells beyond the making."""
    told = {key: value for key, value in (provenance or {}).items() if key not in MAKING}
    total = hashlib.sha256(canonical_json(told).encode())
    for part in parts:
        total.update(part)
    return PAYLOAD_MARK + total.hexdigest()


def read_h5(path: str | Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The named arrays of an HDF5 artifact (all by default)."""
    with readable(path, "HDF5 file", RERUN), h5py.File(path, "r") as file:
        wanted = list(file) if names is None else names
        missing = [name for name in wanted if name not in file]
        if missing:
            raise InputError(f"{path}: no array {missing[0]!r}; it holds {sorted(file)}")
        return {name: _array(file, name) for name in wanted}


def _array(file: h5py.File, name: str) -> np.ndarray:
    dataset = file[name]
    linked = not isinstance(file.get(name, getlink=True), h5py.HardLink)
    if linked or not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise ValueError(f"{name!r} is no array of this file")
    if dataset.size and dataset.nbytes > MOST_SWELL * max(dataset.id.get_storage_size(), 2**16):
        raise ValueError(f"{dataset.nbytes:,} bytes out of {dataset.id.get_storage_size():,} packed ones")
    return dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()]


def write_table(path: str | Path, frame: pd.DataFrame, provenance: Mapping | None = None) -> None:
    """Write a table to Parquet; the index is dropped."""
    table = pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False)
    content = io.BytesIO()
    with pa.ipc.new_stream(content, table.schema.remove_metadata()) as stream:
        stream.write_table(table.replace_schema_metadata(None))
    marks = {PAYLOAD: _payload(provenance, [content.getbuffer()]), SEAL: BLANK}
    told = {**(table.schema.metadata or {}), KEY: canonical_json(dict(provenance or {})), **marks}
    table = table.replace_schema_metadata(told)
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
        seal(temporary)


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet artifact as a data frame."""
    with readable(path, "Parquet file", RERUN):
        return pq.read_table(path, columns=list(columns) if columns else None).to_pandas()


def write_json(path: str | Path, value: Mapping, provenance: Mapping | None = None) -> None:
    """Write a JSON object; its provenance stands under the key ``waferbench``."""
    with atomic(path) as temporary:
        payload = _payload(provenance, [canonical_json(dict(value)).encode()])
        facts = {**value, KEY: dict(provenance or {}), PAYLOAD: payload, SEAL: BLANK}
        temporary.write_text(json.dumps(facts, sort_keys=True, indent=1) + "\n")
        seal(temporary)


def read_json(path: str | Path) -> dict:
    """A JSON artifact without its provenance."""
    return {key: value for key, value in _json(Path(path)).items() if key not in (KEY, PAYLOAD, SEAL)}


def _json(path: Path) -> dict:
    with readable(path, "JSON file", RERUN):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise InputError(f"{path}: found a {type(value).__name__}, expected a JSON object; {RERUN}")
    return value


def write_weights(path: str | Path, tensors: Mapping[str, Any], provenance: Mapping | None = None) -> None:
    """Write torch tensors to safetensors (contiguous, on the CPU)."""
    from safetensors.torch import save

    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content = save(ready)
    told = {KEY: canonical_json(dict(provenance or {})), PAYLOAD: _payload(provenance, [content]), SEAL: BLANK}
    with atomic(path) as temporary:
        temporary.write_bytes(with_metadata(content, told))
        seal(temporary)


def with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with these entries in sorted order; the library's own order varies from run to run."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def read_weights(path: str | Path) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    from safetensors.torch import load_file

    with readable(path, "safetensors file", RERUN):
        return load_file(path)


def read_provenance(path: str | Path) -> dict:
    """What an artifact says of its own making; ``{}`` where it says nothing."""
    path = Path(path)
    with readable(path, "artifact", RERUN):
        value = json.loads(_provenance(path))
    if not isinstance(value, dict):
        raise InputError(f"{path}: its provenance is a {type(value).__name__}, expected a JSON object; {RERUN}")
    return value


def _provenance(path: Path) -> str:
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            text = file.attrs.get(KEY, "{}")
            return text.decode() if isinstance(text, bytes) else text
    if path.suffix == ".parquet":
        return (pq.read_schema(path).metadata or {}).get(KEY.encode(), b"{}").decode()
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            return (file.metadata() or {}).get(KEY, "{}")
    if path.suffix == ".json":
        return json.dumps(_json(path).get(KEY, {}))
    return "{}"
