"""Wafer maps at their native die resolution: a ragged store, and a table of one row per wafer.

A wafer map is a uint8 array (rows, columns): 0 off-wafer, 1 passing die, 2 failing die.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from waferbench.base.artifacts import RERUN, read_h5, write_h5
from waferbench.base.errors import InputError, readable

OFF, PASS, FAIL = 0, 1, 2


@dataclass(frozen=True)
class WaferStore:
    """Ragged maps: map i is ``flat[offsets[i]:offsets[i+1]].reshape(shapes[i])``.

    flat: uint8 (total dies), in memory or in the file; offsets: int64 (N + 1); shapes: int16 (N, 2) of rows, columns.
    """

    flat: np.ndarray | h5py.Dataset
    offsets: np.ndarray
    shapes: np.ndarray

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.flat[self.offsets[index] : self.offsets[index + 1]].reshape(self.shapes[index])

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: Iterable[int]) -> list[np.ndarray]:
        """The maps at these positions."""
        return [self[int(row)] for row in rows]

    @classmethod
    def of(cls, maps: Sequence[np.ndarray]) -> WaferStore:
        """A store of 2-D uint8 maps."""
        shapes = np.array([m.shape for m in maps], dtype=np.int16).reshape(-1, 2)
        offsets = np.concatenate([[0], np.cumsum([m.size for m in maps])]).astype(np.int64)
        flat = np.concatenate([m.ravel() for m in maps]) if len(maps) else np.zeros(0, np.uint8)
        return cls(flat.astype(np.uint8, copy=False), offsets, shapes)


def read_store(path: str | Path) -> WaferStore:
    """Read a store written by `write_store` into memory."""
    return WaferStore(**read_h5(path, ["flat", "offsets", "shapes"]))


def open_store(path: str | Path) -> WaferStore:
    """Open a store of which a few maps are wanted: each is read from the file when it is asked for."""
    with readable(path, "store of wafers", RERUN):
        flat = h5py.File(path, "r")["flat"]
    return WaferStore(flat, **read_h5(path, ["offsets", "shapes"]))


def write_store(path: str | Path, store: WaferStore, provenance: Mapping | None = None) -> None:
    """Write the ragged maps to HDF5."""
    write_h5(path, {"flat": store.flat, "offsets": store.offsets, "shapes": store.shapes}, provenance)


def require_each(classes: Iterable[str], labels: np.ndarray, who: str) -> None:
    """`InputError` in the name of a generator where a class has none of the wafers with these labels, str (N,)."""
    for label in classes:
        if not (labels == label).any():
            raise InputError(f"{who}: no training wafer of class {label!r}; add wafers or drop it from dataset.classes")
