"""Whether probabilities can be believed: calibration error before and after temperature scaling.

Guo et al., "On calibration of modern neural networks", 2017.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from waferbench.base.errors import InputError
from waferbench.base.tables import GRID_CELL, TABLES
from waferbench.statistics.probabilities import labels_for, same_cell, softmax_of

BINS = 15
SMALLEST, LARGEST = 0.05, 20.0  # temperatures tried
ENOUGH = 50  # validation wafers: of fewer a temperature says more of chance than of the network
TINY = float(np.finfo(np.float32).tiny)  # a float32 softmax cannot say less without saying 0


def fit_temperature(probabilities: np.ndarray, y: np.ndarray) -> float:
    """The temperature T of least negative log-likelihood, within 0.05 to 20 (Guo et al. 2017, section 4.2).

    Args:
        probabilities: float (N, K), softmax of validation wafers.
        y: int (N,), their classes.

    Raises:
        InputError: no wafer, or probabilities that are not finite.
    """
    if not len(y):
        raise InputError("calibration: no validation wafer to fit the temperature on; check folds.protocols")
    if not np.isfinite(probabilities).all():
        count = int((~np.isfinite(probabilities)).any(1).sum())
        raise InputError(
            f"calibration: probabilities of {count} of {len(y)} validation wafers are not finite, expected 0 to 1: "
            "the training has diverged; lower classifier.lr and rerun"
        )

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(scale(probabilities, math.exp(log_temperature)), y)

    found = minimize_scalar(loss, bounds=(math.log(SMALLEST), math.log(LARGEST)), method="bounded")
    return math.exp(found.x)


def choose_temperature(probabilities: np.ndarray, y: np.ndarray, cell: str) -> float:
    """The temperature of `fit_temperature`, or 1, said on stderr, where validation wafers cannot tell it.

    That is below 50 wafers, and where an end of the range does best, as it does where all of them are called rightly.

    Args:
        probabilities, y: as there.
        cell: whose probabilities, for what is said.

    Raises:
        InputError: as there, naming the cell.
    """
    try:
        temperature = fit_temperature(probabilities, y)
    except InputError as error:
        raise InputError(f"{cell}: {error}") from None
    found, *ends = (negative_log_likelihood(scale(probabilities, t), y) for t in (temperature, SMALLEST, LARGEST))
    if len(y) < ENOUGH:
        reason = f"{len(y)} validation wafers, fewer than {ENOUGH}"
    elif min(ends) <= found:
        reason = f"the best temperature is at an end of the range, {SMALLEST:g} to {LARGEST:g}"
    else:
        return temperature
    print(f"calibration of {cell}: {reason}; probabilities are left as they are", file=sys.stderr)
    return 1.0


def scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / T), float64 (N, K), from softmax(logits): log p is the logits but for a constant a row."""
    logits = np.log(np.maximum(np.asarray(probabilities, np.float64), TINY))
    return softmax(logits / temperature, axis=1)


def negative_log_likelihood(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean of -log p of the true class, in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(y)), y], TINY)).mean())


def reliability(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Wafers by the probability of the class called, in equal bins that hold their upper edge (Guo et al., eq. 3).

    Returns:
        bin_low, bin_high, n, and the sums confidence and correct over the wafers of the bin; empty bins left out.
    """
    return binned(probabilities.max(1), probabilities.argmax(1) == y, bins)


def binned(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """As `reliability`, of calls that need not be those of the largest probability.

    Args:
        confidence: float (N,), 0-1, of the class called. correct: bool (N,).
    """
    position = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    table = pd.DataFrame({"bin": position, "confidence": confidence, "correct": np.asarray(correct, float)})
    table = table.groupby("bin").agg(n=("bin", "size"), confidence=("confidence", "sum"), correct=("correct", "sum"))
    return table.reset_index().assign(bin_low=lambda t: t["bin"] / bins, bin_high=lambda t: (t.pop("bin") + 1) / bins)[
        ["bin_low", "bin_high", "n", "confidence", "correct"]
    ]


def expected_calibration_error(probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """Mean over wafers of |accuracy - confidence| of their bin, 0-1 (Guo et al. 2017, eq. 5)."""
    return calibration_error(reliability(probabilities, y, bins))


def calibration_error(table: pd.DataFrame) -> float:
    """As `expected_calibration_error`, of a table of `binned`."""
    return float((table["confidence"] - table["correct"]).abs().sum() / table["n"].sum())


def calibrate(
    cells: Iterable[tuple[pd.DataFrame, pd.DataFrame]], labels: Mapping[str, Sequence[str]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibration of every cell's test wafers, the temperature fitted on its validation wafers.

    Those also chose the cell's checkpoint, so that it is a little surer of them than of test wafers.

    Args:
        cells: validation and test table of each cell, by `waferbench.classification.predictions.prediction_table`.
        labels: slugs of the classes of each protocol.

    Returns:
        The tables calibration (temperature by `choose_temperature`, ece 0-1, nll in nats) and reliability (stage
        ``before`` or ``after``, seeds and folds together).

    Raises:
        InputError: the two tables of a cell belong to different cells, hold other classes, or are not finite.
    """
    rows, bins = [], []
    for validation, test in cells:
        cell = same_cell(validation, test)
        names = labels_for(test, labels)
        p_val, y_val = softmax_of(validation, names)
        before, y = softmax_of(test, names)
        temperature = choose_temperature(p_val, y_val, "/".join(str(cell[name]) for name in GRID_CELL))
        stages = {"before": before, "after": scale(before, temperature)}
        row = {**cell, "temperature": temperature, "n_val": len(y_val), "n_test": len(y)}
        for stage, p in stages.items():
            row[f"ece_{stage}"] = expected_calibration_error(p, y)
            row[f"nll_{stage}"] = negative_log_likelihood(p, y)
            bins.append(reliability(p, y).assign(**cell, stage=stage))
        rows.append(row)
    table = pd.DataFrame(rows, columns=TABLES["calibration"]).sort_values(list(GRID_CELL), ignore_index=True)
    return table, _pooled(bins)


def _pooled(bins: list[pd.DataFrame]) -> pd.DataFrame:
    """Sums over seeds and folds, turned into means."""
    columns = list(TABLES["reliability"])
    if not bins:
        return pd.DataFrame(columns=columns)
    keys = ["protocol", "backbone", "condition", "stage", "bin_low", "bin_high"]
    sums = pd.concat(bins).groupby(keys, sort=True)[["confidence", "correct", "n"]].sum().reset_index()
    sums = sums.assign(accuracy=sums["correct"] / sums["n"], confidence=sums["confidence"] / sums["n"])
    order = sums["stage"].map({"before": 0, "after": 1})
    return sums.assign(order=order).sort_values([*keys[:3], "order", "bin_low"], ignore_index=True)[columns]
