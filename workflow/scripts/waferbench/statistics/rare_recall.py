"""How many wafers of a rare class are found where a precision is asked for.

The threshold on a class's probability is part of the classifier: it is chosen on validation wafers, and test wafers say
what recall and what precision it then has. Where validation has few wafers of the class the threshold is noise, so that
both are resampled; average precision needs no threshold and stands beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from waferbench.base.errors import InputError
from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.base.tables import TABLES
from waferbench.statistics.intervals import resample
from waferbench.statistics.probabilities import labels_for, same_cell, softmax_of
from waferbench.statistics.thresholds import average_precision, calls_above, rank, threshold_at_precision

RARE = 3  # classes taken where none are named


def rarest(y: pd.Series, labels: Sequence[str], count: int = RARE) -> list[str]:
    """The labels with the fewest wafers, rarest first; those without any left out."""
    counts = y.value_counts().reindex(labels).dropna()
    return list(counts.sort_values(kind="stable").index[:count])


def measure_rare_recall(
    cells: Iterable[tuple[pd.DataFrame, pd.DataFrame]],
    labels: Mapping[str, Sequence[str]],
    baseline: str,
    rare: Sequence[str] = (),
    leaky: Sequence[str] = (),
    precision: float = 0.9,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Recall of rare classes where a precision is asked for, per protocol, backbone, condition and class.

    Each cell's threshold on the softmax probability of the class is the smallest that keeps the precision on the cell's
    validation wafers; a cell without one calls nothing. Test wafers are then counted over folds and seeds together;
    average precision is the mean over cells, as scores of two networks are not on one scale. Intervals are percentiles
    over resamples of validation wafers, which set another threshold each, and of test wafers, both within their
    classes. A wafer is drawn for all seeds, conditions and backbones alike. They know nothing of another training.
    Where every wafer is found, or every call right, no resample differs, and the interval is that one number.

    Args:
        cells: validation and test table of each cell, by `waferbench.classification.predictions.prediction_table`.
        labels: slugs of the classes of each protocol.
        baseline: the condition that gains are measured against.
        rare: slugs of the classes asked for; none = the three rarest of each protocol.
        leaky: protocols that test conditions on different wafers: no gains.
        precision: asked of the validation wafers, above 0, to 1.
        bootstrap: resamples.

    Returns:
        The table rare_recall, fractions. ``precision`` is the one asked for, ``precision_reached`` the one on the test
        wafers, NaN where nothing is called (so are its limits, where no resample calls anything). n_positive: test
        wafers of the class; n_cells: cells; n_reached: those with a threshold. gain, ap_gain: recall and average
        precision minus the baseline's, paired by wafer; NaN for the baseline itself.

    Raises:
        InputError: a rare class that no protocol has, or the two tables of a cell belong to different cells.
    """
    strange = sorted(set(rare) - {label for names in labels.values() for label in names})
    if strange:
        raise InputError(f"statistics.rare_classes: {strange[0]!r} is not a class of this study; see dataset.classes")
    rows = []
    for protocol, group in _by_protocol(cells, labels).items():
        wafers = pd.concat([pd.DataFrame({"wafer_id": cell.test.ids, "y": cell.test.y}) for cell in group])
        counts = wafers.drop_duplicates("wafer_id")["y"].map(dict(enumerate(labels[protocol])))
        chosen = [c for c in rare if c in set(counts)] if rare else rarest(counts, labels[protocol])
        columns = [list(labels[protocol]).index(label) for label in chosen]
        counted = _count(group, columns, precision, bootstrap, derive_seed(seed, "rare_recall", protocol))
        for (backbone, condition), mine in sorted(counted.items()):
            reference = counted.get((backbone, baseline)) if protocol not in leaky and condition != baseline else None
            for i, label in enumerate(chosen):
                names = {"protocol": protocol, "backbone": backbone, "condition": condition, "label": label}
                facts = {"precision": precision, "n_positive": int((counts == label).sum())}
                rows.append({**names, **facts, **_row(mine, reference, i, confidence)})
    return pd.DataFrame(rows, columns=TABLES["rare_recall"])


@dataclass(frozen=True)
class _Part:
    """Validation or test wafers of a cell. ids: (N,), in order; p: float32 (N, K); y: int (N,)."""

    ids: tuple[str, ...]
    p: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class _Cell:
    """fold, and what is trained alike in several: (backbone, condition)."""

    fold: int
    key: tuple[str, str]
    validation: _Part
    test: _Part


@dataclass
class _Counted:
    """Of one backbone and condition, of L classes: sums over cells, float64 (L, 1 + B), the first column unresampled.

    called, hits, positives: test wafers called one of the class, rightly so, and of the class; precisions: of average
    precisions; n_reached, n_ranked: int (L,), cells with a threshold and with a wafer of the class; n_cells: all.
    """

    called: np.ndarray
    hits: np.ndarray
    positives: np.ndarray
    precisions: np.ndarray
    n_reached: np.ndarray
    n_ranked: np.ndarray
    n_cells: int = 0


def _by_protocol(
    cells: Iterable[tuple[pd.DataFrame, pd.DataFrame]], labels: Mapping[str, Sequence[str]]
) -> dict[str, list[_Cell]]:
    """Protocol -> its cells, fold by fold."""
    found: dict[str, list[_Cell]] = {}
    for validation, test in cells:
        cell, names = same_cell(validation, test), labels_for(test, labels)
        parts = [_part(table, names) for table in (validation, test)]
        found.setdefault(cell["protocol"], []).append(
            _Cell(int(cell["fold"]), (cell["backbone"], cell["condition"]), *parts)
        )
    return {name: sorted(mine, key=lambda cell: cell.fold) for name, mine in sorted(found.items())}


def _part(table: pd.DataFrame, labels: Sequence[str]) -> _Part:
    table = table.sort_values("wafer_id")
    p, y = softmax_of(table, labels)
    return _Part(tuple(table["wafer_id"]), p.astype(np.float32), y)


def _count(
    cells: list[_Cell], columns: list[int], precision: float, bootstrap: int, seed: int
) -> dict[tuple[str, str], _Counted]:
    """(backbone, condition) -> what its cells call of the classes in these columns."""
    counted: dict[tuple[str, str], _Counted] = {}
    drawn: dict[tuple[str, ...], np.ndarray] = {}  # weights of the wafers of a fold
    for i, cell in enumerate(progress(cells, "rare recall")):
        if i and cell.fold != cells[i - 1].fold:
            drawn.clear()
        val = _weights(cell.validation, drawn, bootstrap, derive_seed(seed, cell.fold, "validation"))
        test = _weights(cell.test, drawn, bootstrap, derive_seed(seed, cell.fold, "test"))
        sums = counted.setdefault(cell.key, _nothing(len(columns), 1 + bootstrap))
        sums.n_cells += 1
        for row, column in enumerate(columns):
            positive = cell.test.y == column
            chosen_on = rank(cell.validation.p[:, column], cell.validation.y == column, val)
            tested_on = rank(cell.test.p[:, column], positive, test)
            limits = threshold_at_precision(chosen_on, precision)
            called, hits = calls_above(tested_on, limits)
            sums.called[row] += called
            sums.hits[row] += hits
            sums.positives[row] += test @ positive.astype(np.float32)
            sums.n_reached[row] += bool(np.isfinite(limits[0]))
            if positive.any():
                sums.precisions[row] += average_precision(tested_on)
                sums.n_ranked[row] += 1
    return counted


def _nothing(classes: int, columns: int) -> _Counted:
    return _Counted(*(np.zeros((classes, columns)) for _ in range(4)), *np.zeros((2, classes), np.int64))


def _weights(part: _Part, drawn: dict[tuple[str, ...], np.ndarray], bootstrap: int, seed: int) -> np.ndarray:
    """How often each wafer counts, float32 (1 + B, N): once, then as drawn; the same for all that have these wafers."""
    if part.ids not in drawn:
        picks = resample(part.y, bootstrap, np.random.default_rng(seed))
        drawn[part.ids] = np.vstack([np.ones(len(part.y), np.int16), picks]).astype(np.float32)
    return drawn[part.ids]


def _row(mine: _Counted, reference: _Counted | None, i: int, confidence: float) -> dict[str, float | int]:
    """The row of class ``i``; its gains are NaN without a reference."""
    nothing = np.full(2, math.nan)
    recall, reached, average = _ratios(mine, i)
    gain, ap_gain = nothing, nothing
    if reference is not None:
        other, _, other_average = _ratios(reference, i)
        gain, ap_gain = recall - other, average - other_average
    found = {
        ("recall", "low", "high"): recall,
        ("precision_reached", "precision_low", "precision_high"): reached,
        ("gain", "gain_low", "gain_high"): gain,
        ("average_precision", "ap_low", "ap_high"): average,
        ("ap_gain", "ap_gain_low", "ap_gain_high"): ap_gain,
    }
    numbers = {n: v for names, drawn in found.items() for n, v in zip(names, _interval(drawn, confidence), strict=True)}
    return {**numbers, "n_cells": mine.n_cells, "n_reached": int(mine.n_reached[i])}


def _ratios(counted: _Counted, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recall, precision reached and average precision of class ``i``: float64 (1 + B,), NaN where there are none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = counted.hits[i] / counted.positives[i]
        reached = counted.hits[i] / counted.called[i]
        average = counted.precisions[i] / counted.n_ranked[i]
    return recall, reached, average


def _interval(drawn: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """The value itself, and the percentiles of those resamples that have one."""
    known = drawn[1:][~np.isnan(drawn[1:])]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(known, tails) if len(known) else (math.nan, math.nan)
    return float(drawn[0]), float(low), float(high)
