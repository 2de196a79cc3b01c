"""Wafer maps in one ``.npz``: ``flat``, ``offsets``, ``shapes``, ``label``, ``classes`` (and ``lot``, if known)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from waferbench.base.errors import InputError, readable
from waferbench.base.npy import array_names
from waferbench.base.npy import read_npz as read_arrays
from waferbench.wafers.store import FAIL, OFF, WaferStore
from waferbench.wafers.table import WaferSet

ARRAYS = ("flat", "offsets", "shapes", "label", "classes")


def read_npz(path: Path, labelled: bool = True) -> WaferSet:
    """Read an archive of ragged maps.

    Map i is ``flat[offsets[i]:offsets[i+1]].reshape(shapes[i])``: ``flat`` integers (total dies) of 0 off-wafer,
    1 pass, 2 fail; ``offsets`` integers (N + 1); ``shapes`` integers (N, 2) of rows, columns; ``label`` integers
    (N,), index into ``classes``, str; ``lot`` str (N,) is optional. Ids are ``npz-`` and the index.

    Args:
        path: the archive.
        labelled: whether ``label`` and ``classes`` must be there; where they need not and are not, classes are "".

    Raises:
        InputError: an array is missing, pickled, of a wrong type, or disagrees with the others.
    """
    arrays = _load(path, labelled)
    flat, offsets, shapes, label = (_integers(path, name, arrays[name]) for name in ARRAYS[:4])
    classes = [str(name) for name in arrays["classes"].ravel()]
    if label.ndim != 1 or not len(label):
        raise InputError(f"{path}: array 'label' has shape {label.shape}, expected one entry a wafer")
    wrong = np.flatnonzero((label < 0) | (label >= len(classes)))
    if len(wrong):
        raise InputError(
            f"{path}: label[{wrong[0]}] is {label[wrong[0]]}, expected 0 to {len(classes) - 1}, an index into 'classes'"
        )
    _check_layout(path, flat, offsets, shapes, len(label))
    _check_values(path, flat, offsets)
    lots = arrays.get("lot", np.full(len(label), ""))
    if lots.shape != label.shape:
        raise InputError(f"{path}: array 'lot' has shape {lots.shape}, expected {label.shape} as 'label'")
    store = WaferStore(flat.astype(np.uint8, copy=False), offsets.astype(np.int64), shapes.astype(np.int16))
    return WaferSet(
        store, [classes[i] for i in label], [str(lot) for lot in lots], [f"npz-{i:06d}" for i in range(len(label))]
    )


def _load(path: Path, labelled: bool) -> dict[str, np.ndarray]:
    """The arrays; where neither classes nor labels are there and need not be, one class without a name."""
    with readable(path, ".npz archive", "download or write it again"), open(path, "rb") as file:
        single = file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX
    if single:
        raise InputError(f"{path}: found a single .npy array, expected an .npz archive of {', '.join(ARRAYS)}")
    held = array_names(path)
    bare = not labelled and not {"label", "classes"} & set(held)
    missing = [name for name in (ARRAYS[:3] if bare else ARRAYS) if name not in held]
    if missing:
        raise InputError(f"{path}: no array {missing[0]!r}; it holds {held}, expected {list(ARRAYS)}")
    arrays = read_arrays(path, (*ARRAYS, "lot"))
    if bare:
        arrays |= {"label": np.zeros(arrays["shapes"].shape[:1], int), "classes": np.array([""])}
    return arrays


def _integers(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biu":
        raise InputError(f"{path}: array {name!r} has type {array.dtype}, expected whole numbers")
    return array


def _check_layout(path: Path, flat: np.ndarray, offsets: np.ndarray, shapes: np.ndarray, count: int) -> None:
    """Offsets and shapes cover ``flat`` exactly, map by map."""
    if flat.ndim != 1 or shapes.shape != (count, 2) or offsets.shape != (count + 1,):
        raise InputError(
            f"{path}: 'flat', 'shapes', 'offsets' have the shapes {flat.shape}, {shapes.shape}, {offsets.shape}, "
            f"expected (dies,), ({count}, 2), ({count + 1},) for {count} labels"
        )
    shapes = shapes.astype(np.int64)
    empty = np.flatnonzero((shapes < 1).any(1) | (shapes > np.iinfo(np.int16).max).any(1))
    if len(empty):
        i = empty[0]
        raise InputError(f"{path}: wafer {i} has the shape {tuple(shapes[i].tolist())}, expected 1 to 32,767 a side")
    expected = np.concatenate([[0], np.cumsum(shapes.prod(1))])
    wrong = np.flatnonzero(offsets.astype(np.int64) != expected)
    if len(wrong):
        i = wrong[0]
        raise InputError(f"{path}: offsets[{i}] is {offsets[i]}, expected {expected[i]} by 'shapes'; write it again")
    if len(flat) != expected[-1]:
        raise InputError(f"{path}: 'flat' holds {len(flat)} dies, expected {expected[-1]} by 'shapes' and 'offsets'")


def _check_values(path: Path, flat: np.ndarray, offsets: np.ndarray) -> None:
    if flat.max() > FAIL or flat.min() < OFF:
        at = np.flatnonzero((flat > FAIL) | (flat < OFF))[0]
        wafer = np.searchsorted(offsets, at, side="right") - 1
        raise InputError(
            f"{path}: wafer {wafer} holds the die value {flat[at]}, expected 0 (off-wafer), 1 (pass) or 2 (fail)"
        )
    blank = np.flatnonzero(~np.logical_or.reduceat(flat != OFF, offsets[:-1].astype(np.int64)))
    if len(blank):
        raise InputError(f"{path}: wafer {blank[0]} has no die (all values are 0); remove the map")
