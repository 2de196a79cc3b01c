"""Precision, recall, density and coverage from nearest neighbours in feature space.

Precision and recall: Kynkaanniemi et al. 2019, eq. 1-2. Density and coverage: Naeem et al. 2020, eq. 4-5.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 1024  # rows of a matrix of distances held at once


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
    real_radius, synthetic_radius = _radius(real, neighbours), _radius(synthetic, neighbours)
    balls = np.zeros(len(synthetic), np.int64)  # real balls about each synthetic sample
    recalled, covered = [], []
    for rows in blocks(len(real)):
        cross = distances(real[rows], synthetic)
        in_real = cross <= real_radius[rows, None]
        balls += in_real.sum(0)
        covered.append(in_real.any(1))
        recalled.append((cross <= synthetic_radius[None]).any(1))
    return {
        "precision": float((balls > 0).mean()),
        "recall": float(np.concatenate(recalled).mean()),
        "density": float(balls.mean() / neighbours),
        "coverage": float(np.concatenate(covered).mean()),
    }


def blocks(n: int) -> Iterator[slice]:
    """Consecutive rows, few enough for distances to tens of thousands of others to fit into memory."""
    return (slice(start, start + BLOCK) for start in range(0, n, BLOCK))


def _radius(x: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance of each sample to its k-th nearest other one; (N,)."""
    parts = []
    for rows in blocks(len(x)):
        near = distances(x[rows], x)
        near[np.arange(len(near)), np.arange(len(x))[rows]] = np.inf
        parts.append(np.partition(near, neighbours - 1, axis=1)[:, neighbours - 1])
    return np.concatenate(parts)
