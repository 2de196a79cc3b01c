"""Ranking wafers by the score of one class: thresholds, what they call, average precision; of many resamples at once.

Resamples are weights, float32 (B, N): how often each of N wafers was drawn. Wafers of equal score are called together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-6  # of a precision; less than a wafer in a hundred thousand


@dataclass(frozen=True)
class Ranked:
    """values: float (D,), the distinct scores, greatest first. rich: bool (D,), those that a positive wafer has.

    called, hits: float32 (B, D), wafers drawn at or above each score, and the positive ones of them.
    """

    values: np.ndarray
    rich: np.ndarray
    called: np.ndarray
    hits: np.ndarray


def rank(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> Ranked:
    """Wafers by falling score.

    Args:
        scores: float (N,). positive: bool (N,). weights: float32 (B, N).
    """
    order = np.argsort(-scores, kind="stable")
    ordered, true = scores[order], positive[order]
    ends = np.flatnonzero(np.diff(ordered, append=np.nan) != 0)
    starts = np.concatenate([[0], ends[:-1] + 1])[: len(ends)]
    called = np.take(weights, order, axis=1)
    hits = called * true
    np.cumsum(called, axis=1, out=called)
    np.cumsum(hits, axis=1, out=hits)
    if len(ends) < len(order):
        called, hits = np.take(called, ends, axis=1), np.take(hits, ends, axis=1)
    rich = np.add.reduceat(true, starts) > 0 if len(ends) else np.zeros(0, bool)
    return Ranked(ordered[ends], rich, called, hits)


def threshold_at_precision(ranked: Ranked, precision: float) -> np.ndarray:
    """The smallest score at or above which this share of the wafers is positive; inf where there is none: float64 (B,).

    The recall is the greatest that the precision allows. Only scores that a resample drew are thresholds of it.

    Args:
        precision: above 0, to 1.
    """
    called, hits = ranked.called, ranked.hits
    if not len(ranked.values):
        return np.full(len(called), math.inf)
    kept = (hits > 0) & (hits >= np.float32(precision - ROUNDING) * called)
    kept[:, 1:] &= called[:, 1:] > called[:, :-1]
    last = kept.shape[1] - 1 - kept[:, ::-1].argmax(1)
    return np.where(kept.any(1), ranked.values[last], math.inf)


def calls_above(ranked: Ranked, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wafers at or above each resample's threshold, float (B,), and the positive ones of them: float64 (B,) each."""
    above = np.searchsorted(-ranked.values, -thresholds, side="right")  # how many distinct scores are called
    rows = np.flatnonzero(above)
    found = np.zeros((2, len(thresholds)))
    found[:, rows] = ranked.called[rows, above[rows] - 1], ranked.hits[rows, above[rows] - 1]
    return found[0], found[1]


def average_precision(ranked: Ranked) -> np.ndarray:
    """The mean of the precision at each positive wafer's score, which needs no threshold; NaN without a positive wafer.

    It is the sum over scores of (gain in recall) x precision, float64 (B,), as scikit-learn's.
    """
    if not ranked.rich.any():
        return np.full(len(ranked.called), math.nan)
    called, hits = ranked.called[:, ranked.rich], ranked.hits[:, ranked.rich].astype(np.float64)
    area = (np.diff(hits, axis=1, prepend=0) * hits / np.maximum(called, 1)).sum(1)
    return np.divide(area, hits[:, -1], out=np.full(len(hits), math.nan), where=hits[:, -1] > 0)
