"""The images of one cell: a fold's real wafers, and what its condition adds to the training ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from waferbench.errors import InputError
from waferbench.folds import SPLITS, wafers_of
from waferbench.render import RESAMPLE, render, snap_greys
from waferbench.wafers import WaferStore


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
    image_size: int,
    render_settings: Mapping[str, Any],
    draw_at: str = "render",
) -> dict[str, Split]:
    """Training, validation and test images of one fold.

    Args:
        draw_at: ``render``: wafers take the way that samples take, drawn at ``render.size`` pixels and then resized
            to ``image_size``; drawn any finer, their sharpness alone would tell them from synthetic ones.
            ``image``: drawn at ``image_size`` at once, as published.
    """
    drawn = render_settings if draw_at == "render" else {**render_settings, "size": image_size}
    position = {label: i for i, label in enumerate(labels)}
    splits = {}
    for split in SPLITS:
        wafers = wafers_of(selected, folds, f"fold{fold}", split)
        wafers = wafers[wafers["label"].isin(position)]
        if wafers.empty:
            raise InputError(f"fold {fold}: no wafer in the {split} split; check folds.n_splits and folds.run")
        images = resize(render(store.take(wafers["row"]), **drawn), image_size, render_settings["resize"])
        ids = wafers["wafer_id"].to_numpy(dtype=object).astype(str)
        splits[split] = Split(images, np.array([position[label] for label in wafers["label"]], np.int64), ids)
    return splits


def read_samples(path: str | Path, index: Sequence[int] | np.ndarray) -> np.ndarray:
    """Samples of a raw artifact: uint8 (len(index), S, S), in the order of ``index``."""
    index = np.asarray(index, dtype=np.int64)
    with h5py.File(path, "r") as file:
        if "images" not in file:
            raise InputError(f"{path}: no dataset 'images'; it holds {sorted(file)}")
        images = file["images"][()]
    if len(index) and (index.min() < 0 or index.max() >= len(images)):
        raise InputError(f"{path}: sample {int(index.max())} asked for, it holds {len(images)}; rerun the injection")
    return images[index]


def fit_samples(images: np.ndarray, image_size: int, render_settings: Mapping[str, Any]) -> np.ndarray:
    """Generator samples at the classifier's size, greys snapped where ``render.snap`` says so."""
    snapped = snap_greys(images, render_settings["levels"]) if render_settings.get("snap") else images
    return resize(snapped, image_size, render_settings["resize"])


def resize(images: np.ndarray, size: int, method: str = "bilinear") -> np.ndarray:
    """uint8 (N, S, S) to uint8 (N, size, size); method: ``bilinear`` or ``nearest``."""
    if len(images) == 0 or images.shape[-1] == size:
        return images.reshape(len(images), size, size)
    return np.stack([np.asarray(Image.fromarray(image).resize((size, size), RESAMPLE[method])) for image in images])


def training_set(
    real: Split,
    injection: pd.DataFrame,
    sample_files: Iterable[str | Path],
    labels: Sequence[str],
    image_size: int,
    render_settings: Mapping[str, Any],
) -> tuple[Split, dict[str, int]]:
    """Real training wafers plus the injected ones.

    Args:
        real: the fold's training split.
        injection: ``source, label, index, wafer_id``, see `waferbench.injection`.
        sample_files: raw artifacts of the source, ``<label>.h5`` each.

    Returns:
        The set, synthetic ids being ``<source>/<label>/<index>``; and ``n_train_real``,
        ``n_train_synthetic``, ``n_train_repeated``.
    """
    parts = [real]
    repeats = injection[injection["index"] < 0]
    if len(repeats):
        place = {wafer: i for i, wafer in enumerate(real.ids)}
        strange = [wafer for wafer in repeats["wafer_id"] if wafer not in place]
        if strange:
            raise InputError(
                f"injection: wafer {strange[0]!r} is not a training wafer of this fold; rerun the injection"
            )
        rows = repeats["wafer_id"].map(place).to_numpy(np.int64)
        parts.append(Split(real.images[rows], real.labels[rows], real.ids[rows]))
    files = {Path(file).stem: file for file in sample_files}
    synthetic = injection[injection["index"] >= 0]
    for label, rows in synthetic.groupby("label", sort=True):
        if label not in files:
            raise InputError(f"injection: samples of {label!r} are wanted, given are {sorted(files)}")
        images = fit_samples(read_samples(files[label], rows["index"]), image_size, render_settings)
        names = (rows["source"] + "/" + rows["label"] + "/" + rows["index"].astype(str)).to_numpy(dtype=object)
        parts.append(Split(images, np.full(len(rows), list(labels).index(label), np.int64), names.astype(str)))
    joined = Split(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.ids for part in parts]),
    )
    counts = {
        "n_train_real": len(real),
        "n_train_synthetic": len(synthetic),
        "n_train_repeated": len(repeats),
    }
    return joined, counts
