"""What a cell of the grid needs to judge wafers that no study has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from waferbench.base import tables
from waferbench.base.artifacts import read_h5, read_table
from waferbench.base.errors import InputError
from waferbench.base.names import slugs
from waferbench.classification.svm.svm import EcocSvm
from waferbench.classification.train import Normaliser
from waferbench.classification.trained import load_classifier
from waferbench.config.classification import PredictWafers
from waferbench.config.stages import WeightSearch
from waferbench.statistics.calibration import choose_temperature

QUANTILE = 0.99  # of the distances of validation and test wafers; farther is unusual


def temperature_of(validation: str | Path, labels: Sequence[str]) -> float:
    """The temperature that calibrates a cell's probabilities, fitted on its ``validation.parquet``.

    Raises:
        InputError: a table of other classes.
    """
    table = read_table(validation)
    found = {name.removeprefix("p_") for name in table if name.startswith("p_")}
    unknown = sorted((found | set(table["y_true"])) - set(labels))
    if unknown or found != set(labels):
        raise InputError(
            f"{validation}: {f'class {unknown[0]!r}' if unknown else f'{len(found)} classes'}, expected the "
            f"{len(labels)} classes {', '.join(labels)}; rerun the study"
        )
    y = pd.Index(labels).get_indexer(table["y_true"])
    return choose_temperature(table[tables.probabilities(labels)].to_numpy(), y, str(validation))


@dataclass(frozen=True)
class Neighbours:
    """The real training wafers of a cell in feature space, each feature in the standard deviations that the SVM uses.

    ids: str (n,); index: fitted on their features; svm: of the cell; limit: the distance to the nearest of them that
    1% of the cell's validation and test wafers exceed.
    """

    ids: np.ndarray
    index: NearestNeighbors
    svm: EcocSvm
    limit: float

    def of(self, features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances float (N, count) and ids str (N, count) of the nearest, closest first."""
        distances, places = self.index.kneighbors(_scaled(features, self.svm), min(count, len(self.ids)))
        return distances, self.ids[places]


def read_neighbours(features: str | Path, svm: str | Path, labels: Sequence[str], real: Sequence[str]) -> Neighbours:
    """The neighbours of a cell from its ``features.h5`` and ``svm.h5``.

    Args:
        labels: slugs of the classes, as both must hold them.
        real: ids of all real wafers; synthetic training images are no neighbours to show.

    Raises:
        InputError: a file of other classes, or none of the training wafers in ``real``.
    """
    head, names = EcocSvm.read(svm), ["classes", "train_ids", "train_features", "val_features", "test_features"]
    data = read_h5(features, names)
    if list(data["classes"]) != list(labels):
        raise InputError(
            f"{features}: classes {', '.join(data['classes'])}, expected {', '.join(labels)}; rerun the study"
        )
    if head.mean.shape != data["train_features"].shape[1:] or len(labels) <= int(head.classes.max()):
        raise InputError(
            f"{svm}: {len(head.mean)} features and {len(head.classes)} classes, expected "
            f"{data['train_features'].shape[1]} and {len(labels)} as in {features}; rerun the study"
        )
    ids, first = np.unique(data["train_ids"].astype(str), return_index=True)  # repeated wafers count once
    kept = np.isin(ids, np.asarray(real, dtype=str))
    if not kept.any():
        raise InputError(f"{features}: none of its training wafers is in the wafer table; rerun the study")
    ids, rows = ids[kept], first[kept]
    index = NearestNeighbors(algorithm="brute").fit(_scaled(data["train_features"][rows], head))
    unseen = np.concatenate([data["val_features"], data["test_features"]])
    distances = index.kneighbors(_scaled(unseen, head), 1)[0][:, 0]
    return Neighbours(ids, index, head, float(np.quantile(distances, QUANTILE)))


@dataclass(frozen=True)
class Classifier:
    """A cell of the grid that judges wafers.

    labels: class name -> slug, in the order of the network's outputs; model, normalise: the network and what turns
    greys into its input; temperature: of the calibration; head: the one that calls, ``softmax`` or ``ecoc_svm``.
    """

    labels: Mapping[str, str]
    model: nn.Module
    normalise: Normaliser
    neighbours: Neighbours
    temperature: float
    head: str


def read_classifier(
    files: Mapping[str, Any],
    cell: Mapping[str, Any],
    settings: PredictWafers,
    weights: WeightSearch,
    real: Sequence[str],
) -> Classifier:
    """The chosen cell from its files.

    Args:
        files: ``checkpoint``, ``features``, ``svm`` and ``validation``.
        cell: of `waferbench.classification.predict.choose.choose_cell`, and the names of its classes.
        weights: where the backbone's own are looked for.
        real: ids of all real wafers.
    """
    labels = slugs(cell["classes"])
    names, backbone, levels = list(labels.values()), cell["backbone"], settings.drawn.levels
    model, normalise = load_classifier(files["checkpoint"], backbone, names, settings.classifier, levels, weights)
    neighbours = read_neighbours(files["features"], files["svm"], names, real)
    return Classifier(labels, model, normalise, neighbours, temperature_of(files["validation"], names), cell["head"])


def _scaled(features: np.ndarray, svm: EcocSvm) -> np.ndarray:
    return ((features - svm.mean) / svm.scale).astype(np.float32)


class Exported(nn.Module):
    """Network, normalisation and temperature as one module: greys in, calibrated probabilities and features out."""

    def __init__(self, model: nn.Module, normalise: Normaliser, temperature: float):
        super().__init__()
        self.model, self.normalise, self.temperature = model, normalise, temperature

    def forward(self, grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 (N, S, S) of 0-255 to float32 (N, K) and (N, D)."""
        maps = self.model.forward_features(self.normalise(grey))
        features = self.model.forward_head(maps, pre_logits=True)
        return (self.model.forward_head(maps) / self.temperature).softmax(1), features
