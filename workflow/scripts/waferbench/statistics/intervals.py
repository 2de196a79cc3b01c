"""Intervals of scores over the test wafers alone: what another draw of test wafers could have given.

They hold with one fold, too, but know nothing of another training; where folds are compared, the corrected t-test does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.base.seeds import derive_seed
from waferbench.base.tables import TABLES
from waferbench.statistics.comparisons import REFERENCE, SEED

MEASURES = ("value", "pooled", "accuracy")
Drawn = dict[str, np.ndarray]  # of each measure float64 (1 + B,): of the wafers as they are, then resampled


def wafer_intervals(
    predictions: pd.DataFrame,
    labels: Mapping[str, Sequence[str]],
    baseline: str,
    leaky: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    count: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Bootstrap intervals of macro-F1, and of its paired differences to ``real``, the baseline and others.

    Test wafers are resampled within each fold and true class; all conditions, backbones, heads and seeds meet the same
    resamples. A score is the mean over folds and seeds, as in the tables. Beside it stand those of all folds' calls put
    together, in which a class is scored once on all its wafers.

    Args:
        predictions: of all cells, by `waferbench.classification.scores.collect`.
        labels: slugs of the classes of each protocol.
        leaky: protocols that test conditions on different wafers: no differences.
        pairs: (condition, reference) of further differences, such as the steps of `waferbench.statistics.gains.steps`.
        count: resamples.

    Returns:
        The table intervals, fractions; ``reference`` is empty where ``value`` is the score itself. ``low`` and ``high``
        are percentiles. ``pooled``: macro-F1, ``accuracy``: share of right calls, of the calls of all folds together,
        means over seeds, with their own percentiles. n_wafers: test wafers, each counted once.
    """
    rows = []
    for protocol, mine in predictions.groupby("protocol", sort=True):
        scores = _resampled(mine, list(labels[protocol]), count, derive_seed(seed, "wafer_intervals", protocol))
        facts = {"n_wafers": mine["wafer_id"].nunique(), "n_folds": mine["fold"].nunique(), "confidence": confidence}
        for (head, backbone, condition), drawn in scores.items():
            names = {"protocol": protocol, "head": head, "backbone": backbone, "condition": condition}
            rows.append({**names, "reference": "", **_interval(drawn, confidence), **facts})
            references = dict.fromkeys([REFERENCE, baseline, *(r for c, r in pairs if c == condition)])
            for reference in references if protocol not in leaky else ():
                other = scores.get((head, backbone, reference))
                if other is not None and reference != condition:
                    gain = {measure: drawn[measure] - other[measure] for measure in MEASURES}
                    rows.append({**names, "reference": reference, **_interval(gain, confidence), **facts})
    return pd.DataFrame(rows, columns=TABLES["intervals"])


def _resampled(
    predictions: pd.DataFrame, labels: list[str], count: int, seed: int
) -> dict[tuple[str, str, str], Drawn]:
    """(head, backbone, condition) -> its measures: of the wafers as they are, then resampled."""
    cells: dict[tuple[str, str, str], list[np.ndarray]] = {}
    pooled: dict[tuple[str, str, str], dict[int, np.ndarray]] = {}
    for fold, part in predictions.groupby("fold", sort=True):
        known: dict[tuple, np.ndarray] = {}  # a leaky protocol tests each condition on other wafers
        for key, cell in part.groupby(["head", "backbone", "condition", *SEED], sort=True):
            cell = cell.sort_values("wafer_id")
            wafers, index = tuple(cell["wafer_id"]), pd.Index(labels)
            true, called = index.get_indexer(cell["y_true"]), index.get_indexer(cell["y_pred"])
            if wafers not in known:
                drawn = resample(true, count, np.random.default_rng(derive_seed(seed, int(fold))))
                known[wafers] = np.vstack([np.ones(len(true), np.int16), drawn]).astype(np.float32)
            counts = count_calls(true, called, known[wafers], len(labels))
            cells.setdefault(key[:3], []).append(f1_of(counts))
            sums = pooled.setdefault(key[:3], {})
            sums[key[3]] = sums.get(key[3], 0) + counts
    return {
        key: {
            "value": np.mean(parts, axis=0),
            "pooled": np.mean([f1_of(counts) for counts in pooled[key].values()], axis=0),
            "accuracy": np.mean([2 * c[0].sum(1) / c[1].sum(1) for c in pooled[key].values()], axis=0),
        }
        for key, parts in cells.items()
    }


def resample(y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap samples within each class: y int (N,) to int16 (count, N), how often each wafer was drawn."""
    drawn = np.zeros((count, len(y)), np.int16)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        for b in range(count):
            picks = rng.integers(len(members), size=len(members))
            drawn[b, members] = np.bincount(picks, minlength=len(members))
    return drawn


def count_calls(true: np.ndarray, called: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Weighted wafers of each class that are called rightly, and those of the class plus those called it.

    Args:
        true, called: int (N,), 0 to n_classes - 1.
        weights: float32 (B, N), how often each wafer counts.

    Returns:
        float64 (2, B, K).
    """
    classes = np.eye(n_classes, dtype=np.float32)
    is_true, is_called = classes[true], classes[called]
    return np.stack([weights @ (is_true * is_called), weights @ (is_true + is_called)]).astype(np.float64)


def f1_of(counts: np.ndarray) -> np.ndarray:
    """Macro-F1, float64 (B,), of the counts of `count_calls`; a class neither present nor called counts 0."""
    hits, both = counts
    return (2 * hits / np.maximum(both, 1)).mean(1)


def _interval(drawn: Drawn, confidence: float) -> dict[str, float]:
    row = {}
    for measure, before in zip(MEASURES, ("", "pooled_", "accuracy_"), strict=True):
        low, high = np.quantile(drawn[measure][1:], [(1 - confidence) / 2, (1 + confidence) / 2])
        row |= {measure: float(drawn[measure][0]), f"{before}low": float(low), f"{before}high": float(high)}
    return row
