"""Kernel distance: the unbiased squared MMD with the kernel ``(x.y / D + 1)^3``.

Binkowski et al., "Demystifying MMD GANs", 2018, section 4. Unlike a Frechet distance its expectation does not
depend on the number of samples, so that it stands where classes are small.
"""

from __future__ import annotations

import numpy as np


def kernel_distance(
    x: np.ndarray, y: np.ndarray, subsets: int, subset_size: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Mean over random subsets and a 95% interval of the whole sets' distance.

    Subsets are at most half of the smaller set: the estimator is unbiased at any size, and the spread over
    subsets then gives the standard error by the delete-d jackknife (Shao and Wu 1989): the variance of subsets of m
    of n samples, times m / (n - m).

    Args:
        x: float (N, D). y: float (M, D).

    Returns:
        value, low, high; NaN below four samples in a set.
    """
    n = min(len(x), len(y))
    m = min(subset_size, n // 2)
    if m < 2:
        return (float("nan"),) * 3
    draws = np.array(
        [_mmd(x[rng.choice(len(x), m, replace=False)], y[rng.choice(len(y), m, replace=False)]) for _ in range(subsets)]
    )
    half = 1.96 * draws.std(ddof=min(1, subsets - 1)) * np.sqrt(m / (n - m))
    return float(draws.mean()), float(draws.mean() - half), float(draws.mean() + half)


def _mmd(x: np.ndarray, y: np.ndarray) -> float:
    m, dimensions = x.shape
    within = (x @ x.T / dimensions + 1) ** 3 + (y @ y.T / dimensions + 1) ** 3
    between = (x @ y.T / dimensions + 1) ** 3
    return float((within.sum() - np.trace(within)) / (m * (m - 1)) - 2 * between.mean())
