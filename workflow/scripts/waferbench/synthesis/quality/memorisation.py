"""Memorisation: are synthetic wafers nearer to the training wafers than wafers of their own kind would be?

Two views: Hamming distance of wafer maps over the eight symmetries, and distance of features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from waferbench.base.tables import CLOSEST
from waferbench.wafers.render import snap_greys
from waferbench.wafers.symmetries import COUNT, under_symmetry

# three vectors at equal angles: the inner product of two levels is 1 where they agree and -1/2 where not
CODES = np.array([[1, 0], [-0.5, 3**0.5 / 2], [-0.5, -(3**0.5) / 2]], np.float32)


def hamming_distances(
    images: np.ndarray,
    reference: np.ndarray,
    levels: Sequence[int] = (0, 128, 255),
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Hamming distance of each image to each reference image, under the best of the square's eight symmetries.

    Args:
        images: uint8 (N, S, S). reference: uint8 (M, S, S). Greys are snapped to the nearest level first.

    Returns:
        float32 (N, M): share of pixels that differ, 0-1.
    """
    pixels = images.shape[1] * images.shape[2]
    best = np.full((len(images), len(reference)), -np.inf, np.float32)
    for i in range(0, len(images), 512):
        some = images[i : i + 512]
        eight = [torch.from_numpy(_codes(under_symmetry(some, k), levels)).to(device) for k in range(COUNT)]
        for j in range(0, len(reference), 1024):
            part = torch.from_numpy(_codes(reference[j : j + 1024], levels)).to(device)
            products = torch.stack([turned @ part.T for turned in eight]).amax(0)
            best[i : i + 512, j : j + 1024] = products.cpu().numpy()
    # an inner product is the pixels that agree less half of those that do not
    return np.rint(np.clip((pixels - best) / 1.5, 0, pixels)) / pixels


def nearest(matrix: np.ndarray) -> np.ndarray:
    """Smallest of each row, NaN where there is nothing to compare with; (N, M) to (N,)."""
    return matrix.min(1) if matrix.shape[1] else np.full(len(matrix), np.nan)


def copy_threshold(within: np.ndarray, share: float = 0.05) -> float:
    """Distance below which a sample counts as a copy: this quantile of the training wafers' own distances
    to their nearest other training wafer (infinite where there is no other). NaN without any."""
    known = within[np.isfinite(within)]
    return float(np.quantile(known, share, method="lower")) if len(known) else float("nan")


def rate(hits: np.ndarray) -> tuple[float, float, float]:
    """Share of True with its 95% Wilson interval: value, low, high; NaN of nothing."""
    n = len(hits)
    if not n:
        return (float("nan"),) * 3
    p, z = float(np.mean(hits)), 1.96
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return p, float(max(0.0, centre - half)), float(min(1.0, centre + half))


def closest(
    twins: pd.DataFrame, wafers: pd.DataFrame, source: str, label: np.ndarray, index: np.ndarray
) -> pd.DataFrame:
    """The table of each sample's nearest training wafer: ``source, label, index, row, hamming``.

    Args:
        twins: of `waferbench.synthesis.quality.measure.Memory.rows`, one row a sample.
        wafers: the table of all training wafers.
        label, index: (N,) class of each sample, and its position in its class's raw pool.
    """
    rows = wafers["row"].to_numpy()[twins["nearest"].to_numpy()]
    values = (source, label, index, rows, twins["hamming"].to_numpy())
    return pd.DataFrame(dict(zip(CLOSEST, values, strict=True)))


def _codes(images: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    snapped = snap_greys(images, levels)
    index = np.zeros(256, np.int64)
    index[list(levels)] = np.arange(3)
    return CODES[index[snapped]].reshape(len(images), -1)
