"""Writes a table as LSWMD.pkl was written: Python 2, protocol 2, a pandas before 0.20.

Module names, Python 2 strings and the block manager's state are those of that time, byte for byte; no such Python or
pandas is needed. `read_with_pandas` opens the file with today's pandas: the old module names stand for today's modules.
"""

from __future__ import annotations

import importlib
import pickle
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("waferMap", "dieSize", "lotName", "waferIndex", "trianTestLabel", "failureType")
OLD_MODULES = {
    "pandas.indexes": "pandas.core.indexes",
    "pandas.indexes.base": "pandas.core.indexes.base",
    "pandas.indexes.range": "pandas.core.indexes.range",
}


class Name:
    """A global, written as ``c<module>\\n<name>\\n``."""

    def __init__(self, module: str, name: str):
        self.module, self.name = module, name


class Call:
    """A call of a global on unpickling, and the state it gets."""

    def __init__(self, name: Name, args: tuple, state: Any = None):
        self.name, self.args, self.state = name, args, state


class New(Call):
    """An instance made by ``__new__`` on unpickling, and the state it gets."""


class Python2Pickler(pickle._Pickler):
    """Protocol 2 with both kinds of strings as Python 2 `str`, and arrays by numpy's old names."""

    def __init__(self, file: Any):
        super().__init__(file, protocol=2)

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        known = self.memo.get(id(value))
        if known is not None:
            self.write(self.get(known[0]))
        elif isinstance(value, (str, bytes)):
            self._string(value.encode("latin1") if isinstance(value, str) else value)
            self.memoize(value)
        elif isinstance(value, Name):
            self.write(f"c{value.module}\n{value.name}\n".encode())
            self.memoize(value)
        elif isinstance(value, Call):
            self._call(value)
        elif isinstance(value, np.ndarray):
            self._call(_array(value), value)
        elif isinstance(value, np.dtype):
            self._call(_dtype(value), value)
        else:
            super().save(value)

    def _string(self, raw: bytes) -> None:
        short = len(raw) < 256
        self.write((b"U" + bytes([len(raw)]) if short else b"T" + struct.pack("<i", len(raw))) + raw)

    def _call(self, call: Call, stands_for: Any = None) -> None:
        self.save(call.name)
        self.save(call.args)
        self.write(pickle.NEWOBJ if isinstance(call, New) else pickle.REDUCE)
        self.memoize(call if stands_for is None else stands_for)
        if call.state is not None:
            self.save(call.state)
            self.write(pickle.BUILD)


RECONSTRUCT = Name("numpy.core.multiarray", "_reconstruct")
NDARRAY = Name("numpy", "ndarray")
DTYPE = Name("numpy", "dtype")


def _array(array: np.ndarray) -> Call:
    content = list(array.ravel()) if array.dtype.kind == "O" else array.tobytes()
    return Call(RECONSTRUCT, (NDARRAY, (0,), b"b"), (1, array.shape, array.dtype, False, content))


def _dtype(dtype: np.dtype) -> Call:
    if dtype.kind == "O":
        return Call(DTYPE, ("O8", 0, 1), (3, "|", None, None, None, -1, -1, 63))
    width = dtype.itemsize if dtype.kind == "U" else -1
    order = "|" if dtype.itemsize == 1 or dtype.kind == "S" else "<"
    align = 4 if dtype.kind == "U" else -1
    return Call(DTYPE, (dtype.str[1:], 0, 1), (3, order, None, None, None, width, align, 0 if width < 0 else 8))


def label_cell(name: str | None) -> np.ndarray:
    """``[['Center']]``, or an empty array for an unlabelled wafer."""
    return np.zeros((0, 0)) if name is None else np.array([[name]])


def table(wafers: list[tuple[np.ndarray, str | None, str]]) -> dict[str, list]:
    """The six columns of LSWMD from (map, class or None, lot)."""
    return {
        "waferMap": [wafer for wafer, _, _ in wafers],
        "dieSize": [float((wafer > 0).sum()) for wafer, _, _ in wafers],
        "lotName": [lot for _, _, lot in wafers],
        "waferIndex": [float(1 + i % 25) for i in range(len(wafers))],
        "trianTestLabel": [label_cell(None if name is None else "Training") for _, name, _ in wafers],
        "failureType": [label_cell(name) for _, name, _ in wafers],
    }


def write(path: Path, columns: dict[str, list]) -> None:
    """Write columns as the legacy pickle."""
    count = len(next(iter(columns.values())))
    numbers = [name for name, cells in columns.items() if all(isinstance(cell, float) for cell in cells)]
    others = [name for name in columns if name not in numbers]
    items = list(columns)
    blocks = []
    for names, kind in ((numbers, float), (others, object)):
        values = np.empty((len(names), count), dtype=kind)
        for i, name in enumerate(names):
            for j, cell in enumerate(columns[name]):
                values[i, j] = cell
        if names:
            blocks.append({"values": values, "mgr_locs": np.array([items.index(name) for name in names], np.int64)})
    axes = [_index(np.array(items, dtype=object)), _range_index(count)]
    block_items = [_index(np.array([items[i] for i in block["mgr_locs"]], dtype=object)) for block in blocks]
    newest = {"0.14.1": {"axes": axes, "blocks": blocks}}
    state = (axes, [block["values"] for block in blocks], block_items, newest)
    manager = New(Name("pandas.core.internals", "BlockManager"), (), state)
    frame = New(Name("pandas.core.frame", "DataFrame"), (), {"_metadata": [], "_typ": "dataframe", "_data": manager})
    with open(path, "wb") as file:
        Python2Pickler(file).dump(frame)


NEW_INDEX = Name("pandas.indexes.base", "_new_Index")


def _index(values: np.ndarray) -> Call:
    return Call(NEW_INDEX, (Name("pandas.indexes.base", "Index"), {"data": values, "name": None}))


def _range_index(count: int) -> Call:
    attributes = {"start": 0, "stop": count, "step": 1, "name": None}
    return Call(NEW_INDEX, (Name("pandas.indexes.range", "RangeIndex"), attributes))


def read_with_pandas(path: Path) -> Any:
    """The file through pandas' own unpickler for old files, told that texts are latin1 as Python 2's were.

    `pandas.read_pickle` takes no encoding; the old module names stand for today's meanwhile.
    """
    from pandas.compat.pickle_compat import Unpickler

    added = {old: importlib.import_module(new) for old, new in OLD_MODULES.items() if old not in sys.modules}
    sys.modules.update(added)
    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")
            return Unpickler(file, encoding="latin1").load()
    finally:
        for old in added:
            del sys.modules[old]
