"""The images of one cell: a fold's real wafers, and what its condition adds to the training ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from waferbench.base.errors import InputError
from waferbench.base.scope import Fold
from waferbench.config.study import Drawn
from waferbench.images.store import read_images
from waferbench.wafers.folds import SPLITS, wafers_of
from waferbench.wafers.render import RESAMPLE, render, snap_greys
from waferbench.wafers.store import WaferStore


@dataclass(frozen=True)
class Split:
    """images: uint8 (N, S, S), grey 0-255; labels: int64 (N,), position in the class list; ids: str (N,)."""

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


def real_splits(
    store: WaferStore,
    selected: pd.DataFrame,
    folds: pd.DataFrame,
    fold: int,
    labels: Sequence[str],
    drawn: Drawn,
) -> dict[str, Split]:
    """Training, validation and test images of one fold.

    Args:
        labels: slugs of the classes; wafers of others are left out.
        drawn: how the wafers are drawn.

    Raises:
        InputError: an empty split, a class to be told that no training wafer shows, or one class alone.
    """
    position = {label: i for i, label in enumerate(labels)}
    splits = {}
    for split in SPLITS:
        wafers = wafers_of(selected, folds, Fold(fold), split)
        wafers = wafers[wafers["label"].isin(position)]
        if wafers.empty:
            raise InputError(f"fold {fold}: no wafer in the {split} split; check folds.protocols and folds.run")
        images = render(store.take(wafers["row"]), drawn)
        ids = wafers["wafer_id"].to_numpy(dtype=object).astype(str)
        splits[split] = Split(images, np.array([position[label] for label in wafers["label"]], np.int64), ids)
    known = set(splits["train"].labels.tolist())
    if len(known) < 2:
        raise InputError(f"fold {fold}: all training wafers are {labels[known.pop()]!r}, two classes are needed")
    for split in ("val", "test"):
        unseen = sorted(set(splits[split].labels.tolist()) - known)
        if unseen:
            raise InputError(
                f"fold {fold}: class {labels[unseen[0]]!r} has wafers in the {split} split and none to train on; add "
                "wafers, drop the class from dataset.classes, or take another of folds.protocols"
            )
    return splits


def fit_samples(images: np.ndarray, drawn: Drawn) -> np.ndarray:
    """Generator samples as the classifier's wafers are drawn: same size, greys snapped where ``snap`` says so."""
    snapped = snap_greys(images, drawn.levels) if drawn.snap else images
    return resize(snapped, drawn.size, drawn.resize)


def resize(images: np.ndarray, size: int, method: str = "bilinear") -> np.ndarray:
    """uint8 (N, S, S) to uint8 (N, size, size); method: ``bilinear`` or ``nearest``."""
    if len(images) == 0 or images.shape[-1] == size:
        return images.reshape(len(images), size, size)
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), RESAMPLE[method])) for image in images])


def with_injected(
    real: Mapping[str, Split],
    injection: pd.DataFrame,
    sample_files: Iterable[str | Path],
    labels: Sequence[str],
    drawn: Drawn,
) -> tuple[dict[str, Split], dict[str, int]]:
    """Real wafers of every split plus the injected ones, which all train unless the protocol is leaky.

    Args:
        real: the fold's splits.
        injection: columns `waferbench.base.tables.INJECTION`; index -1 for a real wafer once more, by its wafer_id.
        sample_files: stores of the source's images, ``<label>.h5`` each.
        drawn: how the real wafers were drawn.

    Returns:
        The splits, synthetic ids being ``<source>/<label>/<index>``; and ``n_train_real``, ``n_train_synthetic``,
        ``n_train_repeated``, ``n_added`` (the last two together).
    """
    files = {Path(file).stem: file for file in sample_files}
    splits = {}
    for name, split in real.items():
        added = injection[injection["split"] == name]
        # a leaky protocol repeats wafers of every split, any other one training wafers alone
        donors = real.values() if (injection["split"] != "train").any() else [real["train"]]
        parts = [split, *_repeated(added[added["index"] < 0], list(donors), name)]
        parts += _synthetic(added[added["index"] >= 0], files, labels, drawn)
        splits[name] = Split(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.ids for part in parts]),
        )
    train = injection[injection["split"] == "train"]
    counts = {
        "n_train_real": len(real["train"]),
        "n_train_synthetic": int((train["index"] >= 0).sum()),
        "n_train_repeated": int((train["index"] < 0).sum()),
        "n_added": len(train),
    }
    return splits, counts


def _repeated(rows: pd.DataFrame, donors: Sequence[Split], split: str) -> list[Split]:
    """The real wafers that stand in a split again; there each is told from the wafer itself by its id."""
    if rows.empty:
        return []
    place = {wafer: (donor, i) for donor in donors for i, wafer in enumerate(donor.ids)}
    strange = [wafer for wafer in rows["wafer_id"] if wafer not in place]
    if strange:
        raise InputError(f"injection: wafer {strange[0]!r} is not a training wafer of this fold; rerun the injection")
    found = [place[wafer] for wafer in rows["wafer_id"]]
    ids = rows["wafer_id"].to_numpy(dtype=object)
    if split != "train":
        ids = np.array([f"repeat/{wafer}/{k}" for k, wafer in enumerate(ids)], dtype=object)
    images, labels = np.stack([d.images[i] for d, i in found]), np.array([d.labels[i] for d, i in found], np.int64)
    return [Split(images, labels, ids.astype(str))]


def _synthetic(rows: pd.DataFrame, files: Mapping[str, str | Path], labels: Sequence[str], drawn: Drawn) -> list[Split]:
    parts = []
    for label, mine in rows.groupby("label", sort=True):
        if label not in files:
            raise InputError(f"injection: samples of {label!r} are wanted, given are {sorted(files)}")
        images = fit_samples(read_images(files[label]).take(mine["index"], str(files[label])), drawn)
        names = (mine["source"] + "/" + mine["label"] + "/" + mine["index"].astype(str)).to_numpy(dtype=object)
        parts.append(Split(images, np.full(len(mine), list(labels).index(label), np.int64), names.astype(str)))
    return parts
