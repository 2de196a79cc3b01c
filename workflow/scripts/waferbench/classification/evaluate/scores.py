"""Scores of a classifier on a labelled set, with intervals over its wafers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from waferbench.statistics.calibration import binned, calibration_error
from waferbench.statistics.intervals import resample
from waferbench.statistics.ties import ROUNDING

SCORES = ("metric", "label", "value", "low", "high", "n")
CONFUSION = ("y_true", "y_pred", "n")


def score(table: pd.DataFrame, labels: Sequence[str], count: int, confidence: float, seed: int) -> pd.DataFrame:
    """macro_f1 and accuracy; precision, recall and f1 of each class; ece and mean_confidence of the calls.

    Macro-F1 is the plain mean over the classes that the set has: of another set's classes nothing is known. A call is
    as sure as the probability of the class called, whichever head called it. Intervals are percentiles over wafers
    resampled within each class, and NaN where no resample differs.

    Args:
        table: ``label, called, probability`` of each wafer that counts.
        labels: slugs of the classifier's classes.
        count: resamples.
        confidence: of the intervals, 0-1.
        seed: of the resamples.

    Returns:
        Columns `SCORES`; fractions. n: wafers that a value rests on.
    """
    index = pd.Index(labels)
    true, called = index.get_indexer(table["label"]), index.get_indexer(table["called"])
    drawn = resample(true, count, np.random.default_rng(seed))
    weights = np.vstack([np.ones(len(true)), drawn]).astype(np.float64)
    eye = np.eye(len(labels))
    hits, is_true, is_called = (weights @ part for part in (eye[true] * eye[called], eye[true], eye[called]))
    precision, recall = hits / np.maximum(is_called, 1), hits / np.maximum(is_true, 1)
    f1 = 2 * hits / np.maximum(is_true + is_called, 1)
    present = np.unique(true)
    rows = [("macro_f1", "", f1[:, present].mean(1), len(true))]
    rows.append(("accuracy", "", hits.sum(1) / weights.sum(1), len(true)))
    for k in present:
        support = int((true == k).sum())
        for metric, values in (("precision", precision), ("recall", recall), ("f1", f1)):
            rows.append((metric, labels[k], values[:, k], support))
    certain = table["probability"].to_numpy(float)
    rows.append(("mean_confidence", "", weights @ certain / weights.sum(1), len(true)))
    found = [(metric, label, *_interval(values, confidence), n) for metric, label, values, n in rows]
    ece = calibration_error(binned(certain, true == called))
    found.append(("ece", "", ece, np.nan, np.nan, len(true)))
    return pd.DataFrame(found, columns=list(SCORES))


def at_home(predictions: pd.DataFrame, labels: Collection[str]) -> float:
    """Macro-F1 of the same classifier's own test wafers of these classes: what a set that has no other is held against.

    Args:
        predictions: of its cell, ``y_true, y_pred``.
    """
    mine = predictions[predictions["y_true"].isin(list(labels))]
    if mine.empty:
        return float("nan")
    return float(f1_score(mine["y_true"], mine["y_pred"], labels=sorted(labels), average="macro", zero_division=0))


def confusion(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Wafers of each class called each class, columns `CONFUSION`; every pair of the classifier's classes."""
    pairs = pd.MultiIndex.from_product([labels, labels], names=["y_true", "y_pred"])
    counts = table.groupby(["label", "called"]).size().rename_axis(["y_true", "y_pred"])
    return counts.reindex(pairs, fill_value=0).rename("n").reset_index()


def _interval(values: np.ndarray, confidence: float) -> tuple[float, float, float]:
    low, high = np.quantile(values[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    wide = high - low > ROUNDING
    return float(values[0]), float(low) if wide else np.nan, float(high) if wide else np.nan
