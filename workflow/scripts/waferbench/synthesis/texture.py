"""Whether looking synthetic tells a class: how well added wafers are told from real ones, what that says on labels.

Where some classes alone receive synthetic wafers, a classifier may learn the source's texture in place of the pattern.
Two numbers are needed for that: whether origin can be seen at all (``auc``), and what it says on the label (``bits``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

BINS = 16  # of each histogram of greys
RINGS = 8  # within the wafer, and one beyond it
FOLDS = 5  # of the cross-validation
FEWEST = 20  # wafers of each origin, below which nothing is said
STEPS = ((0, 1), (1, 0), (0, 2), (2, 0))  # pixels between the two that are compared


def origin_tells(real: Mapping[str, int], added: Mapping[str, int]) -> dict[str, float]:
    """What is known of a training wafer's label by whoever knows whether it is real or added.

    Args:
        real, added: wafers per label.

    Returns:
        ``bits``, the mutual information of origin and label; ``accuracy_by_origin`` and ``accuracy_majority``, of
        naming the most frequent label of each origin, and that of all wafers.
    """
    labels = real.keys() | added.keys()
    table = np.array([[counts.get(label, 0) for label in sorted(labels)] for counts in (real, added)], dtype=float)
    p = table / table.sum()
    expected = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    seen = p > 0
    return {
        "bits": float((p[seen] * np.log2(p[seen] / expected[seen])).sum()),
        "accuracy_by_origin": float(p.max(1).sum()),
        "accuracy_majority": float(p.sum(0).max()),
    }


def matched(real: np.ndarray, added: np.ndarray, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """As many real as added wafers of every class, so that the pattern itself tells nothing of the origin.

    Args:
        real, added: (N,) and (M,) label of each wafer.
        most: of a class and origin.

    Returns:
        Positions in ``real`` and in ``added``, as many of each.
    """
    parts = []
    for label in np.unique(added):
        ours, theirs = np.flatnonzero(real == label), np.flatnonzero(added == label)
        number = min(len(ours), len(theirs), most)
        parts.append((rng.permutation(ours)[:number], rng.permutation(theirs)[:number]))
    if not parts:
        return np.arange(0), np.arange(0)
    return tuple(np.sort(np.concatenate(side)) for side in zip(*parts, strict=True))


def separability(real: np.ndarray, added: np.ndarray, seed: int) -> float:
    """How well a logistic regression tells added wafers from real ones that it has not seen.

    Args:
        real, added: uint8 (N, S, S) greys, as many of each class in both, see `matched`.
        seed: of the cross-validation's folds.

    Returns:
        Area under the ROC curve, cross-validated: 0.5 = not at all, 1 = always. NaN for fewer than `FEWEST` of each.
    """
    if min(len(real), len(added)) < FEWEST:
        return float("nan")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features = np.concatenate([_features(real), _features(added)])
    origin = np.repeat([0, 1], [len(real), len(added)])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    said = cross_val_predict(model, features, origin, cv=folds, method="decision_function")
    return float(roc_auc_score(origin, said))


def _features(images: np.ndarray) -> np.ndarray:
    """float32 (N, D): how often each grey and each difference between near pixels occurs, and the mean grey of rings.
    Mirrored images have the same ones: training mirrors wafers, so that no side of them tells anything."""
    x, size = images.astype(np.int16), images.shape[1]
    parts = [_shares(images // (256 // BINS))]
    for down, right in STEPS:
        steps = np.abs(x[:, down:, right:] - x[:, : size - down, : size - right])
        parts.append(_shares(steps // (256 // BINS)))
    radius = np.hypot(*np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j])
    ring = np.minimum((radius * RINGS).astype(int), RINGS).ravel()
    one_hot = (ring[:, None] == np.arange(RINGS + 1)) / np.bincount(ring, minlength=RINGS + 1)
    parts.append(images.reshape(len(x), -1).astype(np.float32) @ one_hot.astype(np.float32) / 255)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _shares(bins: np.ndarray) -> np.ndarray:
    """(N, BINS): of each image the square root of the share of its entries in each bin, so that rare ones count."""
    flat = bins.reshape(len(bins), -1).astype(np.intp) + BINS * np.arange(len(bins))[:, None]
    counts = np.bincount(flat.ravel(), minlength=BINS * len(bins)).reshape(len(bins), BINS)
    return np.sqrt(counts / flat.shape[1])
