"""Die lists: a CSV file with one row a die, as testers and yield systems export them."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError, readable
from waferbench.wafers.store import FAIL, PASS, WaferStore
from waferbench.wafers.table import WaferSet

PASS_BINS = ("1",)  # the bins that pass unless others are named
NEEDED, OPTIONAL = ("wafer", "x", "y", "bin"), ("lot", "class")
ROWS = 200_000  # rows in memory as text at a time
SPARSE, SMALL = 25, 4096  # a box of more than so many places a die is taken for a mistake, unless it is small
LARGEST = np.iinfo(np.int16).max  # rows or columns of a map
WHOLE = re.compile(r"([0-9]+)(?:\.0+)?")  # pandas writes 1.0 once a column has held an empty cell
Column = tuple[str, ...]


def read_dielist(path: Path, pass_bins: Sequence[str] = PASS_BINS) -> tuple[WaferSet, list[str]]:
    """Read a CSV file with a header and the columns ``wafer, x, y, bin``, and ``lot`` and ``class`` where known.

    Each wafer's map is the box around its dies: x counts columns, y rows downwards, both whole numbers of any sign;
    places that the list leaves out are off the wafer. Wafers stand in the order of their first die. Ids are the
    wafers' names, or ``lot/name`` where two lots have a wafer of one name. A die that stands twice with one bin counts
    once. Columns may be parted by commas, semicolons or tabs; further columns are passed over. A file without any
    passing die is read, and named on stderr.

    Args:
        path: the file, UTF-8.
        pass_bins: the bins that pass; all others fail. ``01``, ``1.0`` and ``1`` are one bin.

    Returns:
        The wafers, "" for an unknown class or lot; and of each the bins that count as failing, parted by blanks.

    Raises:
        InputError: a column is missing, a row has more cells than the header, a cell is empty or no whole number, a
            die has two bins, a wafer two classes, a wafer's box is far too large for its dies, or there is no die.
    """
    dies, names = _read_dies(path)
    if not len(dies):
        raise InputError(f"{path}: no dies under the header; expected a row a die with {', '.join(NEEDED)}")
    dies = _without_repeats(path, dies, names)
    passing = {bin_key(code) for code in pass_bins}
    codes = [bin_key(code) for code in names["bin"]]
    values = np.array([PASS if code in passing else FAIL for code in codes], np.uint8)
    if not (values == PASS).any():
        print(_all_fail(path, len(dies), passing, codes), file=sys.stderr)
    maps, failing, classes, keys = [], [], [], []
    order = np.argsort(dies["wafer"], kind="stable")
    edges = np.flatnonzero(np.diff(dies["wafer"][order])) + 1
    for rows in np.split(order, edges):
        mine = dies[rows]
        lot, wafer = names["wafer"][mine["wafer"][0]]
        keys.append((lot, wafer))
        maps.append(_map(path, wafer, mine, values))
        failing.append(" ".join(sorted({codes[i] for i in np.unique(mine["bin"]) if values[i] == FAIL})))
        classes.append(_class(path, wafer, [names["class"][i] for i in np.unique(mine["class"])]))
    return WaferSet(WaferStore.of(maps), classes, [lot for lot, _ in keys], _ids(keys)), failing


def bin_key(code: object) -> str:
    """A bin's name without the zeros and blanks that only some programs write: `` 01`` and ``1.0`` are ``1``."""
    text = str(code).strip()
    whole = WHOLE.fullmatch(text)
    return whole[1].lstrip("0") or "0" if whole else text


def _all_fail(path: Path, dies: int, passing: set[str], codes: Sequence[str]) -> str:
    """The line about a file without a passing die."""
    found = sorted(set(codes))
    bins = ", ".join(found[:10]) + (", ..." if len(found) > 10 else "")
    wanted = ", ".join(sorted(passing))
    return f"{path}: all {dies} dies fail: their bins are {bins}, those that pass {wanted}; correct dataset.pass_bins"


def _read_dies(path: Path) -> tuple[np.ndarray, dict[str, list]]:
    """All dies as a record array, texts as positions in the lists of names that come with it."""
    kinds = np.dtype([(name, np.int32) for name in ("wafer", "x", "y", "bin", "class")])
    places: dict[str, dict] = {"wafer": {}, "bin": {}, "class": {}}
    parts = [np.empty(0, kinds)]
    for lines, columns in _pieces(path):
        part = np.empty(len(lines), kinds)
        for name in NEEDED:
            if "" in columns[name]:
                line = lines[columns[name].index("")]
                raise InputError(f"{path}: line {line}: column {name!r} is empty; fill it or remove the row")
        for name in ("x", "y"):
            part[name] = _whole(path, name, columns[name], lines)
        part["wafer"] = _positions(places["wafer"], zip(columns["lot"], columns["wafer"], strict=True))
        for name in ("bin", "class"):
            part[name] = _positions(places[name], columns[name])
        parts.append(part)
    return np.concatenate(parts), {name: list(table) for name, table in places.items()}


def _pieces(path: Path) -> Iterator[tuple[tuple[int, ...], dict[str, Column]]]:
    """Some rows at a time: the line that each ends on, and the needed and optional columns without blanks around."""
    with readable(path, "CSV file", "write it again as UTF-8"), open(path, encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        sign = max(",;\t", key=header.count)
        found = [name.strip().lower() for name in next(csv.reader([header], delimiter=sign), [])]
        missing = [name for name in NEEDED if name not in found]
        twice = [name for name in NEEDED + OPTIONAL if found.count(name) > 1]
        if missing or twice:
            raise InputError(
                f"{path}: {'no' if missing else 'twice the'} column {(missing or twice)[0]!r} in the header; "
                f"found {', '.join(map(repr, found)) or 'an empty file'}, expected {', '.join(NEEDED)}"
            )
        wanted = [name for name in NEEDED + OPTIONAL if name in found]
        rows = _rows(path, file, sign, len(found), itemgetter(*map(found.index, wanted)))
        while piece := list(islice(rows, ROWS)):
            lines, *columns = zip(*piece, strict=True)
            stripped = [tuple(map(str.strip, column)) for column in columns]
            absent = dict.fromkeys(OPTIONAL, ("",) * len(lines))
            yield lines, absent | dict(zip(wanted, stripped, strict=True))


def _rows(path: Path, file: TextIO, sign: str, width: int, pick: itemgetter) -> Iterator[tuple]:
    """The line that each row ends on, and its picked cells; empty lines are no rows.

    Cells are counted, as a row with too many has its columns shifted: a decimal comma, or a separator in a name.
    """
    reader = csv.reader(file, delimiter=sign, strict=True)
    for cells in reader:
        if len(cells) != width:
            if len(cells) > width:
                raise InputError(
                    f"{path}: line {reader.line_num + 1}: {len(cells)} cells under a header of {width} columns; name "
                    f"all columns in the header, and quote cells that hold a {sign!r}"
                )
            if not "".join(cells).strip() and len(cells) < 2:
                continue
            cells += [""] * (width - len(cells))
        yield reader.line_num + 1, *pick(cells)


def _whole(path: Path, name: str, texts: Column, lines: Sequence[int]) -> np.ndarray:
    """A column of whole numbers (``3`` or ``3.0``), int32."""
    numbers = pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce").to_numpy(np.float64)
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~(np.isfinite(numbers) & (np.abs(numbers) < 2**31) & (numbers == np.round(numbers))))
    if len(bad):
        line, text = lines[bad[0]], texts[bad[0]]
        raise InputError(f"{path}: line {line}: column {name!r} is {text!r}, expected a whole number")
    return numbers.astype(np.int32)


def _positions(table: dict, values: Iterable[Hashable]) -> list[int]:
    """The position of each value in a growing table."""
    return [table.setdefault(value, len(table)) for value in values]


def _without_repeats(path: Path, dies: np.ndarray, names: dict[str, list]) -> np.ndarray:
    """Each die once; one that stands twice with different bins is an error, as nobody knows which bin holds."""
    order = np.lexsort((dies["x"], dies["y"], dies["wafer"]))
    ranked = dies[order]
    same = np.ones(max(0, len(ranked) - 1), bool)
    for name in ("wafer", "y", "x"):
        same &= ranked[name][1:] == ranked[name][:-1]
    if not same.any():
        return dies
    keys = np.unique([bin_key(name) for name in names["bin"]], return_inverse=True)[1]
    bins = keys[ranked["bin"]]
    clash = np.flatnonzero(same & (bins[1:] != bins[:-1]))
    if len(clash):
        first, second = ranked[clash[0]], ranked[clash[0] + 1]
        raise InputError(
            f"{path}: wafer {names['wafer'][first['wafer']][1]!r}: the die at x {first['x']}, y {first['y']} has the "
            f"bins {names['bin'][first['bin']]!r} and {names['bin'][second['bin']]!r}; keep the last test's row alone"
        )
    print(f"{path}: {int(same.sum())} dies stand there twice with the same bin; counted once", file=sys.stderr)
    return dies[np.sort(np.delete(order, np.flatnonzero(same) + 1))]


def _map(path: Path, wafer: str, dies: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The dies of one wafer in their box: uint8 (rows, columns)."""
    x, y = dies["x"].astype(np.int64), dies["y"].astype(np.int64)
    rows, columns = int(np.ptp(y)) + 1, int(np.ptp(x)) + 1
    if max(rows, columns) > LARGEST or rows * columns > max(SMALL, SPARSE * len(dies)):
        far = int((np.abs(x - np.median(x)) + np.abs(y - np.median(y))).argmax())
        raise InputError(
            f"{path}: wafer {wafer!r} spans {rows} x {columns} places but has {len(dies)} dies; the farthest is at "
            f"x {x[far]}, y {y[far]}: correct the coordinates (one step a die), or list the passing dies too"
        )
    result = np.zeros((rows, columns), np.uint8)
    result[y - y.min(), x - x.min()] = values[dies["bin"]]
    return result


def _class(path: Path, wafer: str, found: list[str]) -> str:
    known = sorted(name for name in found if name)
    if len(known) > 1:
        raise InputError(f"{path}: wafer {wafer!r} has the classes {known[0]!r} and {known[1]!r}, expected one")
    return known[0] if known else ""


def _ids(keys: list[tuple[str, str]]) -> list[str]:
    names = [wafer for _, wafer in keys]
    return names if len(set(names)) == len(names) else [f"{lot}/{wafer}" for lot, wafer in keys]
