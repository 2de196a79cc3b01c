"""How varied the samples of one class are."""

from __future__ import annotations

import numpy as np

from waferbench.synthesis.quality.prdc import blocks, distances


def diversity(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Mean distance of two samples over the mean distance of two real wafers, in feature space.

    1 is as varied as real wafers, 0 is one image again and again. Does not depend on the numbers but by chance.

    Args:
        real: float (N, D). synthetic: float (M, D).

    Returns:
        The ratio; NaN below two of either, or where all real wafers are alike.
    """
    if min(len(real), len(synthetic)) < 2:
        return float("nan")
    usual = _mean_distance(real)
    return _mean_distance(synthetic) / usual if usual else float("nan")


def _mean_distance(x: np.ndarray) -> float:
    total = sum(float(distances(x[rows], x).sum()) for rows in blocks(len(x)))
    return total / (len(x) * (len(x) - 1))
