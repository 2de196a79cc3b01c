"""LSWMD.pkl, the WM-811K wafers as published (Python 2, pandas before 0.20), and its Python 3 repackagings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from waferbench.base.errors import InputError, readable
from waferbench.base.progress import progress
from waferbench.wafers.ingest.frames import Array, Frame, read_frame
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, as_map

CLASSES = ("Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Random", "Scratch", "none")
MAP, LABEL, LOT = "waferMap", "failureType", "lotName"


def read_lswmd(path: Path, labelled: bool = True) -> WaferSet:
    """The labelled wafers of LSWMD.pkl; unlabelled ones are dropped. Ids are ``lswmd-`` and the row number.

    Where wafers need not be ``labelled``, all rows are read, those without a label as class "".

    Columns read: ``waferMap`` (2-D numbers), ``failureType`` (``[['Center']]`` or a text; empty: unlabelled),
    ``lotName`` where there is one.

    Raises:
        InputError: a file that is damaged or asks for forbidden names, lacks a column, or holds an unknown label or
            a bad map.
    """
    frame = read_frame(path)
    columns = _columns(path, frame)
    names = [_label(path, row, cell) for row, cell in enumerate(columns[LABEL])]
    unknown = {name: n for name, n in Counter(names).items() if name and name not in CLASSES}
    if unknown:
        listed = ", ".join(f"{name!r} ({n} wafers)" for name, n in sorted(unknown.items()))
        raise InputError(f"{path}: column {LABEL!r} holds {listed}, expected {', '.join(CLASSES)} or empty")
    rows = [row for row, name in enumerate(names) if name or not labelled]
    if not rows and not labelled:
        raise InputError(f"{path}: the table has no row; take a file with wafers")
    if not rows:
        raise InputError(f"{path}: none of {len(names)} wafers has a label in column {LABEL!r}; take the labelled data")
    maps = [_map(path, row, columns[MAP][row]) for row in progress(rows, "reading wafers", len(rows))]
    lots = [_lot(columns[LOT][row]) for row in rows]
    return WaferSet(WaferStore.of(maps), [names[row] for row in rows], lots, [f"lswmd-{row:06d}" for row in rows])


def _columns(path: Path, frame: Frame) -> dict[str, list]:
    with readable(path, "table", "download it again"):  # any part of a forged one may be of any kind
        there = frame.columns
        missing = [name for name in (MAP, LABEL) if name not in there]
        if missing:
            raise InputError(f"{path}: no column {missing[0]!r}; it has {', '.join(there)}")
        columns = {name: frame.column(name) for name in (MAP, LABEL, LOT) if name in there}
    columns.setdefault(LOT, [""] * len(columns[MAP]))
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"{path}: columns differ in length: {lengths}; download it again")
    return columns


def _label(path: Path, row: int, cell: Any) -> str:
    """The class of a ``failureType`` cell, "" for unlabelled."""
    with readable(f"{path}: row {row}, column {LABEL!r}", "label", "download it again"):
        if isinstance(cell, Array):
            cell = cell.numpy().ravel().tolist() if cell.size else ""
        while isinstance(cell, (list, tuple)):
            cell = cell[0] if cell else ""
        if isinstance(cell, bytes):
            cell = cell.decode()
        return "" if cell is None or cell != cell else str(cell)  # NaN differs from itself


def _map(path: Path, row: int, cell: Any) -> np.ndarray:
    where = f"{path}: row {row}, column {MAP!r}"
    with readable(where, "map", "download it again"):
        array = cell.numpy() if isinstance(cell, Array) else np.array(cell)
    return as_map(array, where)


def _lot(cell: Any) -> str:
    if isinstance(cell, bytes):
        return cell.decode("latin1")
    return cell if isinstance(cell, str) else ""
