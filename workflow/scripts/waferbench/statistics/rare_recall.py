"""How many wafers of a rare class are found where a precision is asked for.

The threshold on a class's probability is part of the classifier: it is chosen on validation wafers, and test wafers say
what recall and what precision it then has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from waferbench.base.errors import InputError
from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.base.tables import TABLES
from waferbench.statistics.probabilities import labels_for, same_cell, softmax_of

RARE = 3  # classes taken where none are named


def threshold_at_precision(scores: np.ndarray, positive: np.ndarray, precision: float) -> float:
    """The smallest score at or above which this share of the wafers is positive; inf where there is none.

    Wafers of equal score are called together. The recall is the greatest that the precision allows.

    Args:
        scores: float (N,). positive: bool (N,). precision: above 0, to 1.
    """
    if not positive.any():
        return math.inf
    reached, _, thresholds = precision_recall_curve(positive, scores)  # thresholds rise
    kept = thresholds[reached[:-1] >= precision - 1e-9]
    return float(kept[0]) if len(kept) else math.inf


def resampled_ratios(part: np.ndarray, whole: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Ratios of column sums, over all rows and then over bootstrap samples of them.

    Equal seeds draw equal rows of tables of equal length, so that what they give is paired.

    Args:
        part, whole: float (N, C), counts of each row.
        count: resamples.

    Returns:
        float64 (1 + count, C); NaN where the whole is 0.
    """
    rng, (n, columns) = np.random.default_rng(seed), part.shape
    counts = np.hstack([part, whole]).astype(np.float64)
    draws = (rng.integers(n, size=n) for _ in range(count if n else 0))
    sums = np.stack([counts.sum(0), *(np.bincount(picks, minlength=n).astype(np.float64) @ counts for picks in draws)])
    top, bottom = sums[:, :columns], sums[:, columns:]
    return np.divide(top, bottom, out=np.full_like(top, math.nan), where=bottom > 0)


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
    validation wafers; a cell without one calls nothing. Test wafers are then counted over folds and seeds together.
    Intervals are percentiles over resampled test wafers: of recall within the class, of precision over the wafers of
    all classes. A wafer takes the calls of all seeds along; conditions meet the same resamples. Where every wafer is
    found, or every call right, no resample differs, and the interval is that one number.

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
        wafers of the class; n_cells: cells; n_reached: those with a threshold. gain: recall minus the baseline's,
        paired by wafer; NaN for the baseline itself.

    Raises:
        InputError: a rare class that no protocol has, or the two tables of a cell belong to different cells.
    """
    strange = sorted(set(rare) - {label for names in labels.values() for label in names})
    if strange:
        raise InputError(f"statistics.rare_classes: {strange[0]!r} is not a class of this study; see dataset.classes")
    rows = []
    for protocol, groups in _by_protocol(cells, labels, precision).items():
        wafers = pd.concat([cell.wafers[["wafer_id", "y_true"]] for group in groups.values() for cell in group])
        counts = wafers.drop_duplicates("wafer_id")["y_true"]
        chosen = [c for c in rare if c in set(counts)] if rare else rarest(counts, labels[protocol])
        if not chosen:
            continue
        columns = [list(labels[protocol]).index(label) for label in chosen]
        own_seed = derive_seed(seed, "rare_recall", protocol)
        bar = progress(sorted(groups.items()), f"rare recall, {protocol}")
        counted = {key: _count(group, chosen, columns, bootstrap, own_seed) for key, group in bar}
        for (backbone, condition), mine in counted.items():
            reference = counted.get((backbone, baseline)) if protocol not in leaky and condition != baseline else None
            for i in np.flatnonzero(mine.n_positive):
                names = {"protocol": protocol, "backbone": backbone, "condition": condition, "label": chosen[i]}
                rows.append({**names, "precision": precision, **_row(mine, reference, i, confidence)})
    return pd.DataFrame(rows, columns=TABLES["rare_recall"])


@dataclass(frozen=True)
class _Cell:
    """wafers: a row a test wafer: wafer_id, y_true, and for each class 0, 1, ... whether it is called one of it.

    reached: bool (K,), classes with a threshold.
    """

    wafers: pd.DataFrame
    reached: np.ndarray


@dataclass(frozen=True)
class _Counted:
    """Of one backbone and condition: recall and precision of L classes, float64 (1 + B, L), the first row unresampled.

    n_positive, n_reached: int (L,); n_cells: of all folds and seeds.
    """

    recall: np.ndarray
    precision: np.ndarray
    n_positive: np.ndarray
    n_reached: np.ndarray
    n_cells: int


def _by_protocol(
    cells: Iterable[tuple[pd.DataFrame, pd.DataFrame]], labels: Mapping[str, Sequence[str]], precision: float
) -> dict[str, dict[tuple[str, str], list[_Cell]]]:
    """Protocol -> (backbone, condition) -> what its cells call."""
    found: dict[str, dict[tuple[str, str], list[_Cell]]] = {}
    for validation, test in cells:
        cell = same_cell(validation, test)
        names = labels_for(test, labels)
        (p_val, y_val), (p, _) = softmax_of(validation, names), softmax_of(test, names)
        limits = [threshold_at_precision(p_val[:, k], y_val == k, precision) for k in range(len(names))]
        called = pd.DataFrame(p >= np.array(limits), index=test.index)
        group = found.setdefault(cell["protocol"], {}).setdefault((cell["backbone"], cell["condition"]), [])
        group.append(_Cell(pd.concat([test[["wafer_id", "y_true"]], called], axis=1), np.isfinite(limits)))
    return dict(sorted(found.items()))


def _count(cells: list[_Cell], chosen: list[str], columns: list[int], bootstrap: int, seed: int) -> _Counted:
    """Recall and precision over the cells' test wafers, a wafer being one row whatever the seeds."""
    wafers = pd.concat([cell.wafers for cell in cells]).groupby(["wafer_id", "y_true"], sort=True)
    called = wafers[columns].sum().to_numpy(np.float64)
    tested = wafers.size().to_numpy(np.float64)[:, None]
    truth = wafers.size().index.get_level_values("y_true").to_numpy(dtype=object)
    positive = truth[:, None] == np.array(chosen, dtype=object)
    recall = [
        resampled_ratios(called[mine, i, None], tested[mine], bootstrap, derive_seed(seed, label))
        for i, (label, mine) in enumerate(zip(chosen, positive.T, strict=True))
    ]
    return _Counted(
        recall=np.hstack(recall),
        precision=resampled_ratios(called * positive, called, bootstrap, seed),
        n_positive=positive.sum(0),
        n_reached=np.sum([cell.reached[columns] for cell in cells], axis=0),
        n_cells=len(cells),
    )


def _row(mine: _Counted, reference: _Counted | None, i: int, confidence: float) -> dict[str, float | int]:
    """The row of class ``i``; its gain is NaN without a reference."""
    recall, precision = mine.recall[:, i], mine.precision[:, i]
    gain = np.full(2, math.nan) if reference is None else recall - reference.recall[:, i]
    return {
        **dict(zip(("recall", "low", "high"), _interval(recall, confidence), strict=True)),
        **dict(
            zip(("precision_reached", "precision_low", "precision_high"), _interval(precision, confidence), strict=True)
        ),
        **dict(zip(("gain", "gain_low", "gain_high"), _interval(gain, confidence), strict=True)),
        "n_positive": int(mine.n_positive[i]),
        "n_cells": mine.n_cells,
        "n_reached": int(mine.n_reached[i]),
    }


def _interval(drawn: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """The value itself, and the percentiles of those resamples that have one."""
    known = drawn[1:][~np.isnan(drawn[1:])]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(known, tails) if len(known) else (math.nan, math.nan)
    return float(drawn[0]), float(low), float(high)
