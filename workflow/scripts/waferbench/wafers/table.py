"""The wafer table: one row a wafer, with the hashes that tell copies and mirror images apart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError, require_plain
from waferbench.base.names import slugs
from waferbench.base.progress import progress
from waferbench.wafers.store import FAIL, OFF, WaferStore

MOST_DIES = 2**26  # places of a map
GROUPS = {"duplicates": "canonical", "lots": "lot"}


class WaferSet(NamedTuple):
    """Wafers as read: the maps, and for each its class name, lot ("" where unknown) and unique id."""

    store: WaferStore
    classes: list[str]
    lots: list[str]
    ids: list[str]


def as_map(array: np.ndarray, where: str) -> np.ndarray:
    """A checked wafer map.

    Args:
        array: (rows, columns), any number type.
        where: the file or row, for the message.

    Returns:
        uint8 (rows, columns) of 0 off-wafer, 1 pass, 2 fail.

    Raises:
        InputError: not two-dimensional, empty, without a die, NaN, or other values than 0, 1, 2.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: found dies of type {array.dtype}, expected numbers 0, 1, 2")
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{where}: found a map of shape {array.shape}, expected rows x columns of at least 1 x 1")
    require_size(array.shape, where)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise InputError(f"{where}: found NaN among the dies; write 0 where there is no die")
    values = array.astype(np.uint8, copy=False) if array.dtype == np.uint8 or array.dtype == bool else array
    bad = values[(values != 0) & (values != 1) & (values != 2)] if values.dtype != np.uint8 else values[values > FAIL]
    if bad.size:
        raise InputError(f"{where}: found the die value {bad[0]}, expected 0 (off-wafer), 1 (pass) or 2 (fail)")
    if not (values != OFF).any():
        raise InputError(f"{where}: found no die (all values are 0); remove the map")
    return np.ascontiguousarray(values.astype(np.uint8, copy=False))


def require_size(shape: Sequence[int], where: str) -> None:
    """`InputError` for a map of more rows, columns or dies than any wafer has."""
    if max(shape) > np.iinfo(np.int16).max or shape[0] * shape[1] > MOST_DIES:
        raise InputError(
            f"{where}: found a map of {shape[0]} x {shape[1]}, expected at most 32,767 rows and columns and "
            f"{MOST_DIES:,} places; write one value a die"
        )


def require_names(wafers: WaferSet, where: str | Path) -> None:
    """`InputError` where a class, lot or wafer has a name that files and pages cannot hold as it is."""
    for kind, names, most in (("class", wafers.classes, 100), ("lot", wafers.lots, 200), ("wafer", wafers.ids, 200)):
        for name in set(names):
            require_plain(name, f"{where}: a {kind}'s name", most)
    for name in set(wafers.classes):
        if set(name) & set("\n\t"):
            raise InputError(f"{where}: a class's name: found {name!r}, expected one line without tabs; rename it")


def map_hash(wafer: np.ndarray) -> str:
    """sha256 over the shape and the dies of a map, uint8 (rows, columns)."""
    return _hash(wafer.shape, wafer.tobytes())


def canonical_hash(wafer: np.ndarray) -> str:
    """One hash for a map and its mirror images and quarter turns: that of the smallest of the eight.

    "Smallest" compares shape first, then the bytes row by row, so that of a map that is not square only the four
    upright images compete.
    """
    rows, columns = wafer.shape
    images = [wafer] if rows <= columns else []
    if columns <= rows:
        images.append(wafer.T)
    texts = []
    for image in images:
        for text in (image.tobytes(), image[::-1].tobytes()):
            texts += [text, text[::-1]]  # reversed bytes: the half turn
    return _hash(images[0].shape, min(texts))


def _hash(shape: Sequence[int], dies: bytes) -> str:
    return hashlib.sha256(b"%d,%d\n" % (shape[0], shape[1]) + dies).hexdigest()


def wafer_table(wafers: WaferSet, drawn_for: Sequence[str] = ()) -> pd.DataFrame:
    """One row a wafer, in the order of the store.

    Args:
        drawn_for: of wafers simulated for replicates, the set that each belongs to.

    Returns:
        ``wafer_id, row, lot, class, label, rows, columns, dies, failing_dies, sha256, canonical, drawn_for``;
        `canonical` is shared by a map and its mirror images and quarter turns.

    Raises:
        InputError: an id twice, or class names that become one label.
    """
    store = wafers.store
    twice = [name for name, count in Counter(wafers.ids).items() if count > 1]
    if twice:
        raise InputError(f"wafer id {twice[0]!r} stands for {Counter(wafers.ids)[twice[0]]} wafers; ids must differ")
    labels = slugs(sorted(set(wafers.classes)))
    hashes = [(map_hash(m), canonical_hash(m)) for m in progress(store, "hashing wafers", len(store))]
    return pd.DataFrame(
        {
            "wafer_id": wafers.ids,
            "row": np.arange(len(store), dtype=np.int64),
            "lot": wafers.lots,
            "class": wafers.classes,
            "label": [labels[name] for name in wafers.classes],
            "rows": store.shapes[:, 0].astype(np.int64),
            "columns": store.shapes[:, 1].astype(np.int64),
            "dies": [np.count_nonzero(wafer) for wafer in store],
            "failing_dies": [np.count_nonzero(wafer == FAIL) for wafer in store],
            "sha256": [own for own, _ in hashes],
            "canonical": [canonical for _, canonical in hashes],
            "drawn_for": list(drawn_for) or [""] * len(store),
        }
    )


def require_classes(found: set[str], wanted: Iterable[str], where: str | Path) -> None:
    """`InputError` where a configured class is not among the data's."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(
            f"dataset.classes: {', '.join(map(repr, missing))} not found in {where}; "
            f"it holds {', '.join(map(repr, sorted(found))) or 'no class'}"
        )


def select_wafers(table: pd.DataFrame, classes: Sequence[str], max_per_class: int = 0) -> pd.DataFrame:
    """The wafers of the configured classes, in table order.

    Args:
        table: the wafer table.
        classes: class names to keep.
        max_per_class: 0 for all, else of each class the first so many by content hash: the same ones on every
            machine, whatever the order of the source. Replicates and their test set have so many each.
    """
    require_classes(set(table["class"]), classes, "the wafer table")
    kept = table[table["class"].isin(list(classes))]
    if max_per_class:
        ranked = kept.sort_values(["sha256", "wafer_id"], kind="stable")
        kept = kept.loc[ranked.groupby(["class", "drawn_for"], sort=False).head(max_per_class).index.sort_values()]
    return kept.reset_index(drop=True)


def fold_groups(selected: pd.DataFrame, group: str) -> np.ndarray | None:
    """Which wafers must share a fold: ``none``, ``duplicates`` (copies and mirror images) or ``lots``.

    Returns:
        (N,) of str, or None where every wafer stands alone.
    """
    if group == "none":
        return None
    if group not in GROUPS:
        raise InputError(f"folds: found the group {group!r}, expected none, duplicates or lots")
    values = selected[GROUPS[group]].to_numpy(dtype=object)
    unknown = selected["wafer_id"].to_numpy()[values == ""]
    if len(unknown):
        raise InputError(
            f"folds.protocols: {len(unknown)} of {len(values)} wafers have no lot, the first is {unknown[0]!r}, so "
            "they cannot be kept together; take cv5 or duplicate_cv5, or a source that names lots (LSWMD.pkl)"
        )
    return values
