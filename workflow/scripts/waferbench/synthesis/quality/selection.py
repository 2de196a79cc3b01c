"""Which wafers and samples a quality table is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from waferbench.base.scope import Scope
from waferbench.base.seeds import derive_seed
from waferbench.images.store import read_images


def real_wafers(labels: np.ndarray, scope: Scope, split: str, most: int, seed: int) -> np.ndarray:
    """Which wafers of a split are compared with: at most so many, rare classes whole.

    Args:
        labels: (N,) label of each wafer of that split and scope.

    Returns:
        int (M,), their positions, ascending; none is held out where the generator saw all (`POOLED`).
    """
    if scope.pooled and split == "test":
        return np.arange(0)
    return balanced_subset(labels, most, np.random.default_rng(derive_seed(seed, "real", scope, split)))


def balanced_subset(labels: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Positions of at most ``most`` rows, rare classes whole and frequent ones capped at one number.

    Where they are capped, the chosen rows have another mix of classes than all of them.

    Args:
        labels: (N,) class of each row.

    Returns:
        int (M,), ascending.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    groups = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    left, quota = most, {}
    for rank, group in enumerate(sorted(range(len(groups)), key=lambda g: len(groups[g]))):
        quota[group] = min(len(groups[group]), left // (len(groups) - rank))
        left -= quota[group]
    return np.sort(np.concatenate([g[: quota[i]] for i, g in enumerate(groups)]))


@dataclass(frozen=True)
class Samples:
    """The samples of a source that are measured, equally many of each class.

    images: uint8 (N, S, S). label: str (N,). index: int (N,), each sample's position in its class's raw pool.
    stages: ``raw``, the first so many drawn, and ``kept``, the pool behind the shape filter, each bool (N,).
    """

    images: np.ndarray
    label: np.ndarray
    index: np.ndarray
    stages: dict[str, np.ndarray]


def samples(files: Mapping[str, str], scores: pd.DataFrame, number: int) -> Samples:
    """Read the samples that count.

    Args:
        files: label -> its raw pool, in the order wanted.
        scores: the table of the shape filter for this source.
        number: samples a class.
    """
    images, used = [], []
    for label, path in files.items():
        mine = scores[scores["label"] == label].sort_values("index")
        mine = mine[(mine["index"] < number) | mine["in_pool"]]
        images.append(read_images(path).take(mine["index"], str(path)))
        used.append(mine)
    table = pd.concat(used)
    stages = {"raw": (table["index"] < number).to_numpy(), "kept": table["in_pool"].to_numpy(bool)}
    return Samples(np.concatenate(images), table["label"].to_numpy(object), table["index"].to_numpy(), stages)
