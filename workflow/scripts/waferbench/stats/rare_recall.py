"""How many wafers of a rare class are found where a fixed precision is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from waferbench.errors import InputError
from waferbench.progress import progress
from waferbench.seeds import derive_seed
from waferbench.stats.probabilities import labels_of, probabilities

RARE_RECALL = [
    *("protocol", "backbone", "condition", "label", "precision", "recall", "low", "high", "threshold"),
    *("n_positive", "reached"),
]
RARE = 3  # classes taken where none are named


def recall_at_precision(
    scores: np.ndarray, positive: np.ndarray, precision: float, weights: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """The greatest recall among thresholds whose precision is at least the one given.

    Wafers of equal score are called together: no threshold lies between them.

    Args:
        scores: float (N,). positive: bool (N,), at least one. precision: 0-1.
        weights: int (B, N), how often each row counts in each of B resamples; None = once each, B = 1.

    Returns:
        float (B,), 0 where no threshold keeps the precision (or nothing positive was drawn); and the threshold of the
        first resample (rows at or above it are called), NaN where there is none.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(scores[order][1:] != scores[order][:-1], True)  # of rows with one score
    weights = np.ones((1, len(scores)), np.int32) if weights is None else weights
    positives = weights[:, positive].sum(1, dtype=np.int64)
    # Precision p is out of reach once positives / p rows are called, so only the top of the order is looked at.
    most, depth = positives.max() / precision, max(256, int(2 * positives.max() / precision))
    while depth < len(order) and weights[:, order[:depth]].sum(1, dtype=np.int64).min() <= most:
        depth *= 2
    order, ends = order[:depth], ends[:depth]
    drawn = weights[:, order]
    called = drawn.cumsum(1, dtype=np.int32)
    found = (drawn * positive[order]).cumsum(1, dtype=np.int32)
    kept = ends & (found >= precision * called - 1e-9) & (found > 0)
    best = np.where(kept, found, 0).max(1)
    recall = best / np.maximum(positives, 1)
    first = np.flatnonzero(kept[0] & (found[0] == best[0]))
    return recall, float(scores[order[first[0]]]) if len(first) else float("nan")


def resample(y: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Bootstrap samples within each class: y int (N,) to int16 (count, N), how often each wafer was drawn."""
    drawn = np.zeros((count, len(y)), np.int16)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        for b in range(count):
            picks = rng.integers(len(members), size=len(members))
            drawn[b, members] = np.bincount(picks, minlength=len(members))
    return drawn


def rarest(y: pd.Series, labels: Sequence[str], count: int = RARE) -> list[str]:
    """The labels with the fewest wafers, rarest first; those without any left out."""
    counts = y.value_counts().reindex(labels).dropna()
    return list(counts.sort_values(kind="stable").index[:count])


def measure_rare_recall(
    cells: Iterable[pd.DataFrame],
    labels: Mapping[str, Sequence[str]],
    rare: Sequence[str] = (),
    precision: float = 0.9,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Recall of rare classes at a fixed precision, per protocol, backbone, condition and class.

    The score is the softmax probability of the class, each wafer's by the networks that never saw it, all folds and
    seeds together; the threshold is chosen on these wafers themselves. Intervals are percentiles over resampled wafers,
    drawn within each true class; a wafer takes the rows of all its seeds along, and conditions that share their test
    wafers meet the same resamples.

    Args:
        cells: softmax tables by `waferbench.predictions.prediction_table`.
        labels: slugs of the classes of each protocol.
        rare: slugs of the classes asked for; none = the three rarest of each protocol.
        bootstrap: resamples.

    Returns:
        Columns `RARE_RECALL`, fractions; ``reached``: whether any threshold keeps the precision (else recall 0);
        n_positive: wafers of the class.

    Raises:
        InputError: a rare class that no protocol has.
    """
    strange = sorted(set(rare) - {label for names in labels.values() for label in names})
    if strange:
        raise InputError(f"statistics.rare_classes: {strange[0]!r} is not a class of this study; see dataset.classes")
    rows = []
    for protocol, tables in _by_protocol(cells, labels).items():
        everything = pd.concat(tables, ignore_index=True)
        wafers = everything.drop_duplicates("wafer_id")
        chosen = [label for label in rare if label in labels[protocol]] if rare else None
        chosen = rarest(wafers["y_true"], labels[protocol]) if chosen is None else chosen
        resamples = _Resamples(bootstrap, derive_seed(seed, "rare_recall", protocol))
        groups = list(everything.groupby(["backbone", "condition"], sort=True))
        for (backbone, condition), group in progress(groups, f"rare recall, {protocol}"):
            weights = resamples.weights(group)
            names = {"protocol": protocol, "backbone": backbone, "condition": condition, "precision": precision}
            for label in chosen:
                positive = (group["y_true"] == label).to_numpy()
                if positive.any():
                    score = group[f"p_{list(labels[protocol]).index(label)}"].to_numpy()
                    row = _recall(score, positive, precision, weights, confidence)
                    n_positive = group["wafer_id"][positive].nunique()
                    rows.append({**names, "label": label, "n_positive": n_positive, **row})
    return pd.DataFrame(rows, columns=RARE_RECALL)


class _Resamples:
    """The weights of a group's rows; drawn anew only where its wafers are others (a leaky protocol adds some)."""

    def __init__(self, count: int, seed: int):
        self.count, self.seed = count, seed
        self.wafers = pd.Index([])

    def weights(self, group: pd.DataFrame) -> np.ndarray:
        """int16 (count, rows of ``group``)."""
        truth = group.drop_duplicates("wafer_id").set_index("wafer_id")["y_true"].sort_index()
        if not self.wafers.equals(truth.index):
            self.wafers = truth.index
            self.drawn = resample(pd.factorize(truth, sort=True)[0], self.count, np.random.default_rng(self.seed))
        return self.drawn[:, self.wafers.get_indexer(group["wafer_id"])]


def _recall(
    score: np.ndarray, positive: np.ndarray, precision: float, weights: np.ndarray, confidence: float
) -> dict[str, float | bool]:
    recall, threshold = recall_at_precision(score, positive, precision)
    drawn, _ = recall_at_precision(score, positive, precision, weights)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {
        "recall": float(recall[0]),
        "low": float(low),
        "high": float(high),
        "threshold": threshold,
        "reached": bool(recall[0] > 0),
    }


def _by_protocol(cells: Iterable[pd.DataFrame], labels: Mapping[str, Sequence[str]]) -> dict[str, list[pd.DataFrame]]:
    """The cells' tables by protocol, checked, with no more than the columns needed."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for table in cells:
        names = labels_of(table, labels)
        p, _ = probabilities(table, names)
        slim = table[["backbone", "condition", "wafer_id", "y_true"]]
        slim = pd.concat([slim, pd.DataFrame(p.astype(np.float32), slim.index).add_prefix("p_")], axis=1)
        tables.setdefault(table["protocol"].iloc[0], []).append(slim)
    return dict(sorted(tables.items()))
