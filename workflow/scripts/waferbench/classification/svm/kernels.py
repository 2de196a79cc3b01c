"""The Gaussian kernel ``exp(-gamma |x - y|^2)`` of many rows: float64, in blocks, on processors or on a GPU.

On processors NumPy computes it; torch is imported only where a device is named. Matrices
are gigabytes: none is copied.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK = 1024  # rows: a product of this height keeps every thread of BLAS busy
TILE = 256


def cuda_device(gpus: int) -> str | None:
    """``cuda`` where GPUs were granted and torch is there and sees one, else None. Without a grant torch stays out."""
    if not gpus:
        return None
    try:
        import torch
    except ImportError:
        return None
    return "cuda" if torch.cuda.is_available() else None


def rbf_matrix(x: np.ndarray, gamma: float, device: str | None = None) -> np.ndarray:
    """The kernel of all pairs: float64 (N, D) to float64 (N, N), symmetric to the last bit, its diagonal 1.

    Only the upper triangle is computed: half the products of `sklearn.metrics.pairwise.rbf_kernel`.
    """
    result = np.empty((len(x), len(x)))
    starts = range(0, len(x), BLOCK)
    for start, block in zip(starts, _row_blocks(x, x, gamma, BLOCK, device, upper=True), strict=True):
        stop = start + len(block)
        result[start:stop, start:] = block
        square = result[start:stop, start:stop]
        square[...] = np.triu(square, 1) + np.triu(square, 1).T
        np.fill_diagonal(square, 1.0)
        for low in range(stop, len(x), TILE):  # tiles that stay in the cache, a transposed copy at once does not
            result[low : low + TILE, start:stop] = result[start:stop, low : low + TILE].T
    return result


def rbf_product(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, gamma: float, memory_gb: float, device: str | None = None
) -> np.ndarray:
    """Kernel times weights without the whole kernel.

    Args:
        x: float64 (N, D). y: float64 (V, D). weights: float64 (V, M).
        memory_gb: bound of the block of kernel rows that is held.

    Returns:
        float64 (N, M).
    """
    rows = max(1, int(memory_gb * 2**30 / 8 / max(1, len(y))))
    parts = [block @ weights for block in _row_blocks(x, y, gamma, min(rows, 4 * BLOCK), device)]
    return np.concatenate([np.zeros((0, weights.shape[1])), *parts])


def _row_blocks(
    x: np.ndarray, y: np.ndarray, gamma: float, rows: int, device: str | None, upper: bool = False
) -> Iterator[np.ndarray]:
    """Kernel of `rows` rows of `x` at a time with all of `y`; `upper`: with those from the block's first row on."""
    if device is not None:
        yield from _row_blocks_of_torch(x, y, gamma, rows, device, upper)
        return
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


def _row_blocks_of_torch(
    x: np.ndarray, y: np.ndarray, gamma: float, rows: int, device: str, upper: bool
) -> Iterator[np.ndarray]:
    import torch

    right = torch.from_numpy(np.ascontiguousarray(y)).to(device)
    left = right if x is y else torch.from_numpy(np.ascontiguousarray(x)).to(device)
    x_norm, y_norm = left.square().sum(1), right.square().sum(1)
    for start in range(0, len(x), rows):
        first, part = start if upper else 0, slice(start, start + rows)
        block = torch.addmm(y_norm[first:].expand(len(left[part]), -1), left[part], right[first:].T, alpha=-2.0)
        block += x_norm[part, None]
        yield block.clamp_(min=0.0).mul_(-gamma).exp_().cpu().numpy()
