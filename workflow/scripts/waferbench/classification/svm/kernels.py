"""The Gaussian kernel ``exp(-gamma |x - y|^2)`` of many rows: float64, in blocks.

Matrices are gigabytes: none is copied.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 1024  # rows: a product of this height keeps every thread of BLAS busy
TILE = 256


def rbf_matrix(x: np.ndarray, gamma: float) -> np.ndarray:
    """The kernel of all pairs: float64 (N, D) to float64 (N, N), symmetric to the last bit, its diagonal 1.

    Only the upper triangle is computed: half the products of `sklearn.metrics.pairwise.rbf_kernel`.
    """
    result = np.empty((len(x), len(x)))
    starts = range(0, len(x), BLOCK)
    for start, block in zip(starts, _row_blocks(x, x, gamma, BLOCK, upper=True), strict=True):
        stop = start + len(block)
        result[start:stop, start:] = block
        square = result[start:stop, start:stop]
        square[...] = np.triu(square, 1) + np.triu(square, 1).T
        np.fill_diagonal(square, 1.0)
        for low in range(stop, len(x), TILE):  # tiles that stay in the cache, a transposed copy at once does not
            result[low : low + TILE, start:stop] = result[start:stop, low : low + TILE].T
    return result


def rbf_product(x: np.ndarray, y: np.ndarray, weights: np.ndarray, gamma: float, memory_gb: float) -> np.ndarray:
    """Kernel times weights without the whole kernel.

    Args:
        x: float64 (N, D). y: float64 (V, D). weights: float64 (V, M).
        memory_gb: bound of the block of kernel rows that is held.

    Returns:
        float64 (N, M).
    """
    rows = max(1, int(memory_gb * 2**30 / 8 / max(1, len(y))))
    parts = [block @ weights for block in _row_blocks(x, y, gamma, min(rows, 4 * BLOCK))]
    return np.concatenate([np.zeros((0, weights.shape[1])), *parts])


def _row_blocks(x: np.ndarray, y: np.ndarray, gamma: float, rows: int, upper: bool = False) -> Iterator[np.ndarray]:
    """Kernel of `rows` rows of `x` at a time with all of `y`; `upper`: with those from the block's first row on."""
    x_norm, y_norm = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    for start in range(0, len(x), rows):
        first, part = start if upper else 0, slice(start, start + rows)
        block = x[part] @ y[first:].T
        block *= -2.0
        block += x_norm[part, None]
        block += y_norm[first:]
        np.maximum(block, 0.0, out=block)  # rounding may leave it a hair below
        block *= -gamma
        yield np.exp(block, out=block)
