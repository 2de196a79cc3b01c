"""The wafers that something is fitted on, and how they become images."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from waferbench.base.artifacts import write_table
from waferbench.base.errors import InputError
from waferbench.base.scope import POOLED, Fold
from waferbench.config.study import Drawing
from waferbench.wafers.render import render, snap_greys
from waferbench.wafers.store import WaferStore, write_store
from waferbench.wafers.table import WaferSet, select_wafers, wafer_table
from waferbench.wafers.training import TrainingWafers

CLASSES = ["Loc", "Edge-Ring"]
SPLITS = ["train", "val", "test", "train", "test", "train"]
DRAWING = Drawing(size=6, resize="nearest")


@pytest.fixture
def files(tmp_path):
    """A study of nine wafers: every third is of a class that only some protocols tell apart."""
    maps = [np.random.default_rng(i).integers(0, 3, (4 + i % 2, 5)).astype(np.uint8) for i in range(9)]
    wafers = WaferSet(WaferStore.of(maps), ["Loc", "Edge-Ring", "none"] * 3, [""] * 9, [f"w{i}" for i in range(9)])
    table = wafer_table(wafers)
    paths = {name: tmp_path / f"{name}.parquet" for name in ("selected", "folds")} | {"store": tmp_path / "store.h5"}
    write_store(paths["store"], wafers.store)
    write_table(paths["selected"], table)
    ids = [f"w{i}" for i in range(9)]
    folds = [pd.DataFrame({"wafer_id": ids, "fold": k, "split": np.roll((SPLITS * 2)[:9], k)}) for k in range(2)]
    write_table(paths["folds"], pd.concat(folds))
    return paths | {"maps": maps, "table": select_wafers(table, CLASSES)}


def test_they_are_the_training_wafers_of_the_fold_and_of_the_classes(files):
    wafers = TrainingWafers.read(files, Fold(0), CLASSES)
    assert wafers.table["wafer_id"].tolist() == ["w0", "w3", "w6"] and len(wafers) == 3
    assert wafers.classes == ("loc", "edge-ring") and wafers.labels.tolist() == ["loc", "loc", "loc"]
    for found, row in zip(wafers.maps, (0, 3, 6), strict=True):
        assert np.array_equal(found, files["maps"][row])
    assert TrainingWafers.read(files, Fold(1), CLASSES).table["wafer_id"].tolist() == ["w1", "w4", "w6", "w7"]


def test_other_splits_share_the_store(files):
    train, val, test = TrainingWafers.splits(files, Fold(0), CLASSES, "train", "val", "test")
    ids = [part.table["wafer_id"].tolist() for part in (train, val, test)]
    assert ids == [["w0", "w3", "w6"], ["w1", "w7"], ["w4"]]
    assert train.store is val.store is test.store
    assert TrainingWafers.read(files, Fold(0), CLASSES, "test").table.equals(test.table)


def test_all_wafers_are_seen_where_the_scope_is_pooled(files):
    del files["folds"]
    for split in ("train", "test"):
        pooled = TrainingWafers.read(files, POOLED, CLASSES, split)
        assert pooled.table["wafer_id"].tolist() == files["table"]["wafer_id"].tolist()
    with pytest.raises(InputError, match="fold0: no fold table was given"):
        TrainingWafers.read(files, Fold(0), CLASSES)


def test_maps_and_images_are_in_the_order_of_the_table(files):
    wafers = TrainingWafers.read(files, POOLED, CLASSES)
    rows = wafers.table["row"].tolist()
    assert rows == [0, 1, 3, 4, 6, 7]
    assert np.array_equal(wafers.images(DRAWING), render([files["maps"][row] for row in rows], DRAWING))
    ring = wafers.maps_of("edge-ring")
    assert [m.tolist() for m in ring] == [files["maps"][row].tolist() for row in (1, 4, 7)]
    assert wafers.maps_of("donut") == []


def test_some_of_them_stay_together_with_their_labels(files):
    wafers = TrainingWafers.read(files, POOLED, CLASSES)
    some = wafers.at([3, 0])
    assert some.table["wafer_id"].tolist() == ["w4", "w0"] and some.labels.tolist() == ["edge-ring", "loc"]
    assert np.array_equal(some.images(DRAWING), wafers.images(DRAWING)[[3, 0]])
    assert len(wafers.at(np.arange(0))) == 0 and wafers.at(np.arange(0)).images(DRAWING).shape == (0, 6, 6)


def test_an_artifact_says_which_wafers_it_was_fitted_on(files):
    wafers = TrainingWafers.read(files, Fold(0), CLASSES)
    assert wafers.provenance == {"fitted_on": hashlib.sha256(b"w0\nw3\nw6").hexdigest(), "n_fitted": 3}
    assert wafers.at([2, 0, 1]).provenance == wafers.provenance


def test_dies_become_greys_of_the_three_levels():
    wafer = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]], np.uint8)
    image = render([wafer], Drawing(size=6, levels=(0, 100, 200), resize="nearest"))[0]
    assert image.dtype == np.uint8 and np.array_equal(image, np.kron(np.uint8([0, 100, 200])[wafer], np.ones((2, 2))))
    assert render([wafer, wafer[:2]], Drawing(size=9)).shape == (2, 9, 9)
    blurred = render([wafer], Drawing(size=32))
    assert len(np.unique(blurred)) > 3 and set(np.unique(snap_greys(blurred))) == {0, 128, 255}
