"""Reading an LSWMD.pkl of full size in bounded memory, and opening wafers of the ingested store again.

python benchmarks/ingest_lswmd.py --rows 811457 --labelled 172950 --folder some/folder
python benchmarks/ingest_lswmd.py --rows 50000 --labelled 10000 --pandas    (pandas reads the file too)
The file is made up, in the layout of the published one; each part runs in a process of its own, whose peak memory is
given. `--folder` keeps the file; a second run takes the one it finds there.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, figure, peak_memory

from waferbench.base.artifacts import write_table
from waferbench.config.stages import Ingest
from waferbench.wafers.ingest import read_wafers
from waferbench.wafers.simulate.dataset import CLASSES, simulate
from waferbench.wafers.store import open_store, write_store
from waferbench.wafers.table import wafer_table

sys.path.insert(0, str(ROOT / "tests"))
from helpers import legacy_lswmd as legacy

COLUMNS = ("waferMap", "lotName", "trianTestLabel", "failureType")  # of objects; two more are numbers
CHUNK = 1000
PUT, DIES = b"r", None  # pickle's "keep under this number", without the number; where a cell's own bytes stand


class Cells:
    """The cells of a block of objects, made while they are written."""

    def __init__(self, cells: Iterator[tuple[Any, Any]]):
        self.cells = cells


class StreamingPickler(legacy.Python2Pickler):
    """The legacy writer for many cells: it keeps none of them, and of equal kinds it pickles the first two alone.

    What the second one wrote is the pattern of all others: the dies and the numbers of the memo differ.
    """

    def __init__(self, file: Any):
        super().__init__(file)
        self.count, self.passing, self.patterns = 0, None, {}

    def memoize(self, value: Any) -> None:
        self.write(PUT)
        self.memo[id(value)] = self.count, value
        self.count += 1
        if self.passing is not None and not isinstance(value, (legacy.Name, np.dtype)):
            self.passing.append(id(value))

    def dump(self, value: Any) -> None:
        straight = self.write
        self.write = lambda part: straight(part if part is not PUT else PUT + struct.pack("<I", self.count))
        super().dump(value)

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if isinstance(value, Cells):
            self._stream(value)
        else:
            super().save(value, save_persistent_id)

    def _stream(self, value: Cells) -> None:
        self.write(b"](")  # an empty list, a mark
        for i, (kind, cell) in enumerate(value.cells):
            if i and i % CHUNK == 0:
                self.write(b"e(")  # append what has come, mark anew
            if kind in self.patterns:
                self._repeat(self.patterns[kind], cell)
                continue
            parts = self._written(cell)
            if (kind, "first") in self.patterns:  # names and types are known by now
                self.patterns[kind] = parts
            self.patterns[kind, "first"] = parts
        self.write(b"e")

    def _written(self, cell: Any) -> list:
        """Pickle a cell; what was written, its dies as DIES."""
        straight, parts, self.passing = self.write, [], []
        self.write = lambda part: (parts.append(part), straight(part))
        self.save(cell)
        self.write = straight
        for key in self.passing:
            del self.memo[key]
        self.passing = None
        dies = cell.tobytes() if isinstance(cell, np.ndarray) else cell.encode()
        return [DIES if dies and part is not PUT and part[-len(dies) :] == dies else part for part in parts]

    def _repeat(self, parts: list, cell: Any) -> None:
        dies = cell.tobytes() if isinstance(cell, np.ndarray) else cell.encode()
        for part in parts:
            if part is DIES:
                self._string(dies)
            else:
                self.write(part)
                self.count += part is PUT


def cells(rows: int, labelled: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """All cells of the object columns, column by column, as the block holds them; each with what it is alike in."""
    maps, names, _ = simulate({name: 200 for name in CLASSES}, seed)
    drawn = np.random.default_rng(seed).integers(0, len(maps), rows)
    known = set(np.random.default_rng(seed + 1).permutation(rows)[:labelled].tolist())
    yield from ((maps[i].shape, maps[i]) for i in drawn)
    yield from (("lot", f"lot{1 + row // 25}") for row in range(rows))
    for name_of in (lambda i: "Training", lambda i: names[i]):
        texts = (str(name_of(i)) if row in known else None for row, i in enumerate(drawn))
        yield from ((f"label {text}", legacy.label_cell(text)) for text in texts)


def write(path: Path, rows: int, labelled: int, seed: int = 0) -> None:
    """A file of the published size and layout; two columns of numbers in one block, four of objects in the other."""
    items = list(legacy.COLUMNS)
    numbers = np.stack([np.full(rows, 2000.0), 1.0 + np.arange(rows) % 25])
    state = (1, (len(COLUMNS), rows), np.dtype(object), False, Cells(cells(rows, labelled, seed)))
    objects = legacy.Call(legacy.RECONSTRUCT, (legacy.NDARRAY, (0,), b"b"), state)
    parts = ((("dieSize", "waferIndex"), numbers), (COLUMNS, objects))
    blocks = [
        {"values": values, "mgr_locs": np.array([items.index(name) for name in names], np.int64)}
        for names, values in parts
    ]
    axes = [legacy._index(np.array(items, dtype=object)), legacy._range_index(rows)]
    block_items = [legacy._index(np.array(names, dtype=object)) for names, _ in parts]
    newest = {"0.14.1": {"axes": axes, "blocks": blocks}}
    state = (axes, [block["values"] for block in blocks], block_items, newest)
    manager = legacy.New(legacy.Name("pandas.core.internals", "BlockManager"), (), state)
    content = {"_metadata": [], "_typ": "dataframe", "_data": manager}
    with open(path, "wb") as file:
        StreamingPickler(file).dump(legacy.New(legacy.Name("pandas.core.frame", "DataFrame"), (), content))


def ingest(pickle: Path, folder: Path) -> None:
    """What the rule `ingest` does."""
    start = time.perf_counter()
    wafers = read_wafers(pickle, Ingest(source="lswmd", classes=CLASSES))
    figure(f"LSWMD.pkl, {len(wafers.store):,} labelled: read", time.perf_counter() - start, "s")
    peak_memory("reading LSWMD.pkl")
    start = time.perf_counter()
    write_table(folder / "wafers.parquet", wafer_table(wafers))
    write_store(folder / "wafers.h5", wafers.store)
    figure("the same, hashed and written", time.perf_counter() - start, "s")
    figure("its store", (folder / "wafers.h5").stat().st_size / 2**20, "MB")


def reopen(pickle: Path, folder: Path) -> None:
    """What a later stage does: random wafers of the store."""
    start = time.perf_counter()
    store = open_store(folder / "wafers.h5")
    store.take(np.random.default_rng(0).permutation(len(store))[:1000])
    figure(f"1,000 random wafers of the store of {len(store):,}, opened anew", time.perf_counter() - start, "s")


def read_with_pandas(pickle: Path, folder: Path) -> None:
    """The plain way: pandas' own unpickler of old files, then the labelled rows."""
    start = time.perf_counter()
    frame = legacy.read_with_pandas(pickle)
    frame = frame[frame["failureType"].map(np.size) > 0]
    figure(f"LSWMD.pkl, {len(frame):,} labelled: read by pandas", time.perf_counter() - start, "s")


PARTS = {"ingest": ingest, "reopen": reopen, "pandas": read_with_pandas}


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=811_457)
    parser.add_argument("--labelled", type=int, default=172_950)
    parser.add_argument("--folder", type=Path, help="for the file and the store; a temporary one without it")
    parser.add_argument("--pandas", action="store_true", help="let pandas read the file, too")
    parser.add_argument("--part", choices=PARTS, help="one part alone, in this process")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        pickle = folder / f"LSWMD-{args.rows}-{args.labelled}.pkl"
        if args.part:
            PARTS[args.part](pickle, folder)
            peak_memory(f"{args.part}, all")
            return
        if not pickle.exists():
            start = time.perf_counter()
            write(pickle, args.rows, args.labelled)
            print(f"{pickle}: made up in {time.perf_counter() - start:.0f} s", flush=True)
        figure(f"LSWMD.pkl of {args.rows:,} rows", pickle.stat().st_size / 2**20, "MB")
        options = ["--rows", str(args.rows), "--labelled", str(args.labelled), "--folder", str(folder)]
        for part in ["ingest", "reopen", "reopen", *(["pandas"] if args.pandas else [])]:
            subprocess.run([sys.executable, __file__, *options, "--part", part], check=True)


if __name__ == "__main__":
    main()
