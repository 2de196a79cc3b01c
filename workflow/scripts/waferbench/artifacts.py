"""Artifacts: HDF5 arrays, Parquet tables, safetensors weights, JSON facts.

Each is written to a temporary name and renamed, carries its provenance and a digest of itself, and has no timestamp,
so that equal content is equal bytes. ``provenance`` is any JSON-able mapping.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError

from waferbench.errors import InputError, WriteError
from waferbench.seals import BLANK, seal

KEY = "waferbench"
SEAL = "sha256_of_this_file"
LITTLE = 1 << 20  # bytes: a disk with less is full


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``; rename it to ``path`` on success, remove it on failure.

    An existing ``path`` survives any failure, a full disk included.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        os.replace(temporary, path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and h5py raise RuntimeError when a write fails
        said = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if shutil.disk_usage(path.parent).free < LITTLE:  # torch and h5py do not say it
            said = os.strerror(errno.ENOSPC)
        raise WriteError(f"could not write {path} ({said}); free space or mend rights, then rerun") from error
    finally:
        temporary.unlink(missing_ok=True)


def canonical_json(value: Any) -> str:
    """One sorted, compact JSON text for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(path: str | Path) -> str:
    """sha256 of a file, or of the names and digests of all files of a folder."""
    path = Path(path)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith(".snakemake"))
        text = "\n".join(f"{p.relative_to(path).as_posix()} {digest(p)}" for p in files)
        return hashlib.sha256(text.encode()).hexdigest()
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_h5(path: str | Path, arrays: Mapping[str, np.ndarray], provenance: Mapping | None = None) -> None:
    """Write named arrays (numeric, or str as UTF-8) to one HDF5 file, gzip-compressed."""
    with atomic(path) as temporary:
        with h5py.File(temporary, "w", track_order=False) as file:
            file.attrs[KEY] = canonical_json(dict(provenance or {}))
            file.attrs[SEAL] = BLANK
            for name in sorted(arrays):
                array = np.asarray(arrays[name])
                if array.dtype.kind in "UO":
                    file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype(), track_times=False)
                elif array.size and array.ndim:
                    file.create_dataset(name, data=array, compression="gzip", compression_opts=1, track_times=False)
                else:
                    file.create_dataset(name, data=array, track_times=False)
        seal(temporary)


def read_h5(path: str | Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The named arrays of an HDF5 artifact (all by default)."""
    try:
        with h5py.File(path, "r") as file:
            wanted = list(file) if names is None else names
            missing = [name for name in wanted if name not in file]
            if missing:
                raise InputError(f"{path}: no array {missing[0]!r}; it holds {sorted(file)}")
            return {name: _strings(file[name]) for name in wanted}
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error}); delete it and rerun") from error


def _strings(dataset: h5py.Dataset) -> np.ndarray:
    return dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()]


def write_table(path: str | Path, frame: pd.DataFrame, provenance: Mapping | None = None) -> None:
    """Write a table to Parquet; the index is dropped."""
    table = pa.Table.from_pandas(frame.reset_index(drop=True), preserve_index=False)
    table = table.replace_schema_metadata(
        {**(table.schema.metadata or {}), KEY: canonical_json(dict(provenance or {})), SEAL: BLANK}
    )
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
        seal(temporary)


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """A Parquet artifact as a data frame."""
    try:
        return pq.read_table(path, columns=list(columns) if columns else None).to_pandas()
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}); delete it and rerun") from error


def write_json(path: str | Path, value: Mapping, provenance: Mapping | None = None) -> None:
    """Write a JSON object; its provenance stands under the key ``waferbench``."""
    with atomic(path) as temporary:
        facts = {**value, KEY: dict(provenance or {}), SEAL: BLANK}
        temporary.write_text(json.dumps(facts, sort_keys=True, indent=1) + "\n")
        seal(temporary)


def read_json(path: str | Path) -> dict:
    """A JSON artifact without its provenance."""
    return {k: v for k, v in json.loads(Path(path).read_text()).items() if k not in (KEY, SEAL)}


def write_weights(path: str | Path, tensors: Mapping[str, Any], provenance: Mapping | None = None) -> None:
    """Write torch tensors to safetensors (contiguous, on the CPU)."""
    from safetensors.torch import save

    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        temporary.write_bytes(with_metadata(save(ready), {KEY: canonical_json(dict(provenance or {})), SEAL: BLANK}))
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

    return load_file(path)


def read_provenance(path: str | Path) -> dict:
    """What an artifact says of its own making; ``{}`` where it says nothing."""
    path = Path(path)
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            text = file.attrs.get(KEY, "{}")
    elif path.suffix == ".parquet":
        text = (pq.read_schema(path).metadata or {}).get(KEY.encode(), b"{}").decode()
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "np") as file:
            text = (file.metadata() or {}).get(KEY, "{}")
    elif path.suffix == ".json":
        return json.loads(path.read_text()).get(KEY, {})
    else:
        return {}
    return json.loads(text)
