"""Precision, recall, density and coverage from nearest neighbours in feature space.

Precision and recall: Kynkaanniemi et al. 2019, eq. 1-2. Density and coverage: Naeem et al. 2020, eq. 4-5.
"""

from __future__ import annotations

import numpy as np


def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Euclidean distances of the rows of x (N, D) and y (M, D); float64 (N, M)."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    squared = (x**2).sum(1)[:, None] + (y**2).sum(1)[None] - 2 * x @ y.T
    return np.sqrt(np.maximum(squared, 0))


def prdc(real: np.ndarray, synthetic: np.ndarray, neighbours: int) -> dict[str, float]:
    """The four scores; a ball about a sample reaches to its k-th neighbour within its own set.

    Args:
        real: float (N, D). synthetic: float (M, D). neighbours: k.

    Returns:
        ``precision`` share of synthetic samples in some real ball, ``recall`` share of real samples in some
        synthetic ball, ``density`` mean number of real balls about a synthetic sample, over k, ``coverage``
        share of real balls that hold a synthetic sample. NaN where a set has no more than k samples.
    """
    if min(len(real), len(synthetic)) <= neighbours:
        return dict.fromkeys(("precision", "recall", "density", "coverage"), float("nan"))
    cross = distances(real, synthetic)
    real_radius = np.sort(_within(real), axis=1)[:, neighbours - 1]
    synthetic_radius = np.sort(_within(synthetic), axis=1)[:, neighbours - 1]
    in_real = cross <= real_radius[:, None]
    return {
        "precision": float(in_real.any(0).mean()),
        "recall": float((cross <= synthetic_radius[None]).any(1).mean()),
        "density": float(in_real.sum(0).mean() / neighbours),
        "coverage": float(in_real.any(1).mean()),
    }


def _within(x: np.ndarray) -> np.ndarray:
    """Distances within a set, without each sample's to itself; (N, N - 1)."""
    full = distances(x, x)
    return full[~np.eye(len(x), dtype=bool)].reshape(len(x), -1)
