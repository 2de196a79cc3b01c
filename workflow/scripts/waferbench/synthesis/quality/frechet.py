"""Frechet distance of two feature sets, without a matrix square root.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", 2017, eq. 6. It is called FID only where the
features are Inception's.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.blas import dtrmm


def frechet_distance(mean1: np.ndarray, cov1: np.ndarray, mean2: np.ndarray, cov2: np.ndarray) -> float:
    """``|mean1 - mean2|^2 + tr(cov1 + cov2 - 2 (cov1 cov2)^(1/2))`` of two Gaussians.

    The trace of the root is the sum of the roots of the eigenvalues of ``L' cov2 L`` with ``cov1 = L L'``, which is
    symmetric: its eigenvalues give the number of a general matrix square root, and stay real.

    Args:
        mean1, mean2: float (D,). cov1, cov2: float (D, D), symmetric, positive semi-definite.
    """
    try:
        root = np.linalg.cholesky(cov1)
        cross = dtrmm(1.0, root, dtrmm(1.0, root, cov2, side=1, lower=1), lower=1, trans_a=1)
    except np.linalg.LinAlgError:  # features that are constant, or sums of others
        values, vectors = np.linalg.eigh(cov1)
        root = vectors * np.sqrt(np.maximum(values, 0))
        cross = root.T @ cov2 @ root
    cross = np.linalg.eigvalsh(cross)
    trace = np.sqrt(np.maximum(cross, 0)).sum()
    return float(((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * trace)


def frechet_of_features(x: np.ndarray, y: np.ndarray) -> float:
    """Frechet distance of two sets of features, float (N, D) and (M, D), from their means and covariances.

    With fewer samples than dimensions the trace of the root is the nuclear norm of the N x M matrix of inner
    products of the centred sets, which is smaller and loses nothing. NaN below two samples a set.
    """
    if min(len(x), len(y)) < 2:
        return float("nan")
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if min(len(x), len(y)) >= x.shape[1]:
        return frechet_distance(x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    a = (x - x.mean(0)) / np.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / np.sqrt(len(y) - 1)
    # tall or wide, the cross product of the orthogonal-triangular factors has the same singular values
    if len(x) > x.shape[1]:
        a = np.linalg.qr(a, mode="r")
    if len(y) > y.shape[1]:
        b = np.linalg.qr(b, mode="r")
    trace = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * trace)
