"""SEMI G85 wafer maps: XML, one bin code a die.

The one reader in the package index is under a licence that this project cannot take in, and a G85 file is small; what
is needed is the dies, and strictness about them.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from waferbench.base.errors import InputError, readable
from waferbench.base.progress import progress
from waferbench.base.sourcefiles import KINDS, files_of
from waferbench.wafers.ingest.beside import tell_passed_over
from waferbench.wafers.ingest.dielist import PASS_BINS, bin_key
from waferbench.wafers.store import FAIL, OFF, PASS, WaferStore
from waferbench.wafers.table import WaferSet, as_map

WIDTHS = {"ascii": 1, "ascii2": 2, "hexadecimal": 2, "decimal": 3, "integer2": 4}  # characters a die
BASES = {"hexadecimal": 16, "integer2": 16, "decimal": 10}
COUNT = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)
QUALITIES = {"pass": PASS, "fail": FAIL, "null": OFF}


def read_g85(path: Path, pass_bins: Sequence[str] = PASS_BINS) -> tuple[WaferSet, list[str]]:
    """Read one file of wafer maps, or a folder: ``*.xml`` in it, and ``<class name>/*.xml``.

    A file holds any number of ``Map`` elements, with or without a namespace. Rows are taken as they are written,
    whatever ``Orientation`` and ``OriginLocation`` say. ``NullBin`` is off the wafer, a bin passes or fails by its
    ``BinQuality``; one without (or of another quality) passes if it is in ``pass_bins``, else it is named on stderr
    and counts as failing. Ids are ``SubstrateId`` or ``WaferId``, behind the file's name where two maps share one.

    Returns:
        The wafers, "" for an unknown class or lot; and of each the bins that count as failing though the file does
        not say so, parted by blanks.

    Raises:
        InputError: not well-formed, a document type (nothing needs one, and entities may swell), no map, rows that do
            not agree with ``Rows`` and ``Columns`` or stop within a code, or a code that the file does not declare.
    """
    path, found = Path(path), []
    for file in progress(files := _files(path), "reading wafer maps", len(files)):
        label = file.parent.name if path.is_dir() and file.parent != path else ""
        found += [(file, label, *wafer) for wafer in _read_file(file, {bin_key(code) for code in pass_bins})]
    guessed = sorted({code for *_, codes in found for code in codes})
    if guessed:
        print(f"{path}: bins without a BinQuality, counted as failing: {', '.join(guessed)}", file=sys.stderr)
    names = [name for _, _, name, *_ in found]
    if len(set(names)) < len(names):
        names = [f"{file.relative_to(path) if path.is_dir() else file.name}:{name}" for file, _, name, *_ in found]
    maps, lots = [wafer for *_, wafer, _ in found], [lot for _, _, _, lot, _, _ in found]
    labels, bins = [label for _, label, *_ in found], [" ".join(sorted(codes)) for *_, codes in found]
    return WaferSet(WaferStore.of(maps), labels, lots, names), bins


def _files(path: Path) -> list[Path]:
    files = files_of(path, KINDS["g85"])
    if not files:
        raise InputError(f"{path}: no .xml file in it or in its folders; put the maps there, by class where known")
    if path.is_dir():
        tell_passed_over(path, KINDS["g85"])
    return files


class _Builder(ET.TreeBuilder):
    def __init__(self, file: Path):
        super().__init__()
        self.file = file

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Called before the entities of a document type are read."""
        raise InputError(f"{self.file}: found a document type ({name!r}), expected none; remove the DOCTYPE")


def _root(file: Path) -> ET.Element:
    with readable(file, "XML file", "export it again"):
        return ET.parse(file, ET.XMLParser(target=_Builder(file))).getroot()


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _children(element: ET.Element, name: str) -> list[ET.Element]:
    return [child for child in element if _local(child) == name]


def _read_file(file: Path, passing: set[str]) -> Iterator[tuple[str, str, np.ndarray, set[str]]]:
    """Name, lot, map and guessed bins of each wafer of a file."""
    root = _root(file)
    maps = [root] if _local(root) == "Map" else _children(root, "Map") if _local(root) == "Maps" else []
    if not maps:
        raise InputError(f"{file}: found a {_local(root)!r} without maps, expected Maps with a Map a wafer (SEMI G85)")
    for k, element in enumerate(maps):
        name = (element.get("SubstrateId") or element.get("WaferId") or "").strip()
        name = name or (file.stem if len(maps) == 1 else f"{file.stem}-{k + 1}")
        where = f"{file}: wafer {name!r}"
        kind = element.get("SubstrateType", "Wafer")
        if kind.lower() != "wafer":
            raise InputError(f"{where}: SubstrateType is {kind!r}, expected Wafer")
        devices = _children(element, "Device")
        if len(devices) != 1:
            raise InputError(f"{where}: found {len(devices)} Device elements, expected one")
        wafer, guessed = _wafer(devices[0], where, passing)
        yield name, (devices[0].get("LotId") or element.get("LotId") or "").strip(), wafer, guessed


def _wafer(device: ET.Element, where: str, passing: set[str]) -> tuple[np.ndarray, set[str]]:
    """The map of one device, uint8 (rows, columns), and the bins in it that were guessed to fail."""
    grid, kind = _codes(device, where)
    null = device.get("NullBin")
    values = {} if null is None else {_code(null, kind, f"{where}: NullBin"): OFF}
    declared = {
        _code(bin_.get("BinCode", ""), kind, f"{where}: BinCode"): QUALITIES.get(bin_.get("BinQuality", "").lower())
        for bin_ in _children(device, "Bin")
    }
    guessed = set()
    for number, codes in enumerate(grid, 1):
        for code in sorted(set(codes) - set(values)):
            if declared and code not in declared:
                known = ", ".join(map(repr, sorted({*declared, *values})))
                raise InputError(
                    f"{where}: row {number} holds the bin {code!r}, the file declares {known}; add a Bin for it"
                )
            quality = declared.get(code)
            if quality is None:
                quality = PASS if bin_key(code) in passing else FAIL
                guessed |= {code} if quality == FAIL else set()
            values[code] = quality
    return as_map(np.array([[values[code] for code in codes] for codes in grid], np.uint8), where), guessed


def _codes(device: ET.Element, where: str) -> tuple[list[list[str]], str]:
    """The bin codes of a device, row by row, all rows alike in length; and the kind of code."""
    layers = [layer for layer in _children(device, "Data") if _children(layer, "Row")]
    if not layers:
        raise InputError(f"{where}: no Data with Row elements; only maps written row by row are read")
    if len(layers) > 1:
        print(f"{where}: holds {len(layers)} Data elements; the first is read", file=sys.stderr)
    lines = ["".join(row.itertext()) for row in _children(layers[0], "Row")]
    rows, columns = _count(device, "Rows", where), _count(device, "Columns", where)
    if rows is not None and rows != len(lines):
        raise InputError(f"{where}: found {len(lines)} rows, expected {rows} by Rows; export it again")
    spaced = any(len(line.split()) > 1 for line in lines)
    kind = (device.get("BinType") or ("Decimal" if spaced else "Ascii")).strip().lower()
    if kind not in WIDTHS:
        raise InputError(f"{where}: BinType is {device.get('BinType')!r}, expected one of {', '.join(WIDTHS)}")
    grid = []
    for number, line in enumerate(lines, 1):
        row = f"{where}: row {number}"
        codes = [_code(text, kind, row) for text in _cut(line.strip("\r\n\t"), kind, columns, row)]
        columns = columns or len(codes)
        if len(codes) != columns:
            expected = f"{columns} by Columns" if device.get("Columns") else f"{columns} as in the first row"
            raise InputError(
                f"{where}: row {number} has {len(codes)} dies of BinType {kind}, expected {expected}; export it again"
            )
        grid.append(codes)
    return grid, kind


def _cut(line: str, kind: str, columns: int | None, where: str) -> list[str]:
    """A row as its codes: parted by blanks, or of the width that the kind of code has."""
    if kind == "ascii":  # a blank may itself be a code
        if columns is None or len(line) == columns:
            return list(line)
        return line.split() if len(line.split()) == columns else list(line.strip())
    parts, width = line.split(), WIDTHS[kind]
    if len(parts) > 1 or (columns == 1 and len(line.strip()) <= width):
        return parts
    line = line.strip()
    if len(line) % width:
        raise InputError(
            f"{where} has {len(line)} characters, no multiple of the {width} that BinType {kind} has a die; part the "
            "codes by blanks, or export it again"
        )
    return [line[at : at + width] for at in range(0, len(line), width)]


def _code(text: str, kind: str, where: str) -> str:
    """One name for a code however it is written: numbers without leading zeros, in decimal."""
    if kind not in BASES:
        return text
    try:
        return str(int(text, BASES[kind]))
    except ValueError:
        raise InputError(f"{where}: found the bin {text!r}, expected a {kind} number; correct BinType") from None


def _count(device: ET.Element, name: str, where: str) -> int | None:
    """``Rows`` or ``Columns``, None where the file does not say."""
    text = device.get(name)
    if text is None:
        return None
    if not COUNT.fullmatch(text.strip()):
        raise InputError(f"{where}: {name} is {text!r}, expected a whole number above 0")
    return int(text)
