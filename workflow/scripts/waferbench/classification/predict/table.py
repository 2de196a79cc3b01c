"""The predictions on wafers of one's own: one row a wafer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import entropy

from waferbench.base import tables
from waferbench.base.errors import InputError
from waferbench.base.names import slug
from waferbench.base.progress import progress
from waferbench.classification.predict.model import Classifier
from waferbench.classification.train import predict
from waferbench.config.classification import PredictWafers
from waferbench.config.study import Drawn
from waferbench.statistics.calibration import scale
from waferbench.wafers.render import render
from waferbench.wafers.store import FAIL, OFF
from waferbench.wafers.table import WaferSet, map_hash

CHUNK_PIXELS = 64 * 2**20  # drawn at a time, so that memory does not grow with the number of wafers
MOST = 4096  # wafers at a time


def predict_wafers(
    wafers: WaferSet,
    bins: Sequence[str],
    classifier: Classifier,
    settings: PredictWafers,
    device: torch.device,
    training: pd.DataFrame,
) -> pd.DataFrame:
    """What the classifier says of each wafer, and how far that can be trusted.

    Args:
        wafers: as read; their classes may be "".
        bins: of each wafer the bins that count as failing though its file does not say so.
        settings: ``drawn`` says how the cell's test wafers were drawn.
        training: the wafer table's rows of the training wafers.

    Returns:
        wafer_id, lot, label (slug of the wafer's own class, "" where it has none or the study does not know it);
        called (by ``head``), probability (of that class), entropy (nats), called_softmax, called_svm, heads_agree;
        p_<label> for each class, calibrated; nearest_<k>, distance_<k> for the nearest training wafers; unseen_grid,
        unusual (farther from training than 99% of validation and test wafers), in_training (die for die one of the
        training wafers), failing_bins; rows, columns, dies, failing_dies.

    Raises:
        InputError: the network's outputs are not finite.
    """
    model = classifier.model.to(device)
    parts = []
    for part, images in _chunks(wafers, settings.drawn):
        outputs = predict(model, classifier.normalise, images, device, settings.classifier.precision)
        parts.append(_of(part, outputs, classifier, settings))
    judged, store, known = pd.concat(parts, ignore_index=True), wafers.store, set(classifier.labels.values())
    own = [slug(name) if name else "" for name in wafers.classes]
    grids, copies = set(zip(training["rows"], training["columns"], strict=True)), set(training["sha256"])
    shapes = [(int(rows), int(columns)) for rows, columns in store.shapes]
    head = pd.DataFrame(
        {"wafer_id": wafers.ids, "lot": wafers.lots, "label": [name if name in known else "" for name in own]}
    )
    tail = pd.DataFrame(
        {
            "unseen_grid": [shape not in grids for shape in shapes],
            "unusual": judged["distance_1"].to_numpy() > classifier.neighbours.limit,
            "in_training": [map_hash(wafer) in copies for wafer in store],
            "failing_bins": list(bins),
            "rows": [rows for rows, _ in shapes],
            "columns": [columns for _, columns in shapes],
            "dies": [int(np.count_nonzero(wafer != OFF)) for wafer in store],
            "failing_dies": [int(np.count_nonzero(wafer == FAIL)) for wafer in store],
        }
    )
    return pd.concat([head, judged, tail], axis=1)


def _chunks(wafers: WaferSet, drawn: Drawn) -> Iterator[tuple[slice, np.ndarray]]:
    """Some wafers at a time and their images, uint8 (n, S, S)."""
    step = max(1, min(MOST, CHUNK_PIXELS // drawn.size**2))
    for start in progress(range(0, len(wafers.ids), step), "wafers, some at a time"):
        part = slice(start, min(start + step, len(wafers.ids)))
        yield part, render(wafers.store.take(range(part.start, part.stop)), drawn)


def _of(
    part: slice, outputs: tuple[np.ndarray, np.ndarray], classifier: Classifier, settings: PredictWafers
) -> pd.DataFrame:
    """The columns that follow from features (n, D) and probabilities (n, K) of some wafers."""
    features, raw = outputs
    bad = np.flatnonzero(~(np.isfinite(features).all(1) & np.isfinite(raw).all(1)))
    if len(bad):
        raise InputError(
            f"wafer {part.start + int(bad[0])} of the file, counted from 0: the network's outputs are not finite; take "
            "precision float32 (classifier.precision) and rerun the study"
        )
    names, probabilities = np.array(list(classifier.labels.values()), object), scale(raw, classifier.temperature)
    distances, nearest = classifier.neighbours.of(features, settings.neighbours)
    by_softmax, by_svm = probabilities.argmax(1), classifier.neighbours.svm.predict(features, settings.memory_gb)
    called = by_svm if classifier.head == "ecoc_svm" else by_softmax
    columns = {
        "called": names[called],
        "probability": probabilities[np.arange(len(called)), called],
        "entropy": entropy(probabilities, axis=1),
        "called_softmax": names[by_softmax],
        "called_svm": names[by_svm],
        "heads_agree": by_softmax == by_svm,
        **dict(zip(tables.probabilities(names), probabilities.T, strict=True)),
    }
    for k in range(nearest.shape[1]):
        columns |= {f"nearest_{k + 1}": nearest[:, k], f"distance_{k + 1}": distances[:, k]}
    return pd.DataFrame(columns)


def accuracy(table: pd.DataFrame) -> tuple[int, int]:
    """Wafers called by their class, and the number of those whose class the study knows; no training wafer counts."""
    known = table[(table["label"] != "") & ~table["in_training"]]
    return int((known["label"] == known["called"]).sum()), len(known)
