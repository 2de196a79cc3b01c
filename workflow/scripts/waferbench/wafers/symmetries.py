"""The eight symmetries of a square, of wafer maps and their images."""

from __future__ import annotations

import numpy as np

COUNT = 8


def under_symmetry(arrays: np.ndarray, symmetry: int) -> np.ndarray:
    """The last two axes under a symmetry: 0-3 quarter turns, 4-7 the same of the mirror image."""
    return np.rot90(arrays[..., ::-1] if symmetry >= 4 else arrays, symmetry % 4, (-2, -1))


def turned_to(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The reference (S, S) under the symmetry in which most of its pixels equal those of an image (S, S)."""
    eight = np.stack([under_symmetry(reference, k) for k in range(COUNT)])
    return eight[(eight != image).sum((1, 2)).argmin()]
