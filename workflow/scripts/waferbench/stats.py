"""Comparisons of conditions over folds that share their training data."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

REFERENCE = "real"
METRICS = ("macro_f1", "accuracy")
COMPARISONS = [
    *("protocol", "backbone", "head", "condition", "reference", "metric", "mean", "mean_reference"),
    *("mean_difference", "std_difference", "n_folds", "t", "df", "p_value", "ci_low", "ci_high", "confidence"),
]


def corrected_t_test(
    differences: Sequence[float], test_train_ratio: float, confidence: float = 0.95
) -> dict[str, float]:
    """The corrected resampled t-test of paired differences.

    Folds share training wafers, so their differences vary less than independent ones would; the variance of the
    mean is taken as (1/J + n_test/n_train) s^2 instead of s^2/J (Nadeau and Bengio 2003, eq. 9).

    Args:
        differences: J scores of one condition minus those of the other, fold by fold.
        test_train_ratio: n_test / n_train of a fold.
        confidence: of the interval, 0-1.

    Returns:
        mean_difference, std_difference (J - 1 in the denominator), n_folds, t, df, p_value (two-sided), ci_low,
        ci_high. With one fold all but the mean are NaN: nothing is known of the spread.
    """
    values = np.asarray(differences, np.float64)
    count, mean = len(values), float(values.mean())
    if count < 2:
        nothing = dict.fromkeys(("std_difference", "t", "p_value", "ci_low", "ci_high"), math.nan)
        return {"mean_difference": mean, "n_folds": count, "df": count - 1, **nothing}
    deviation = float(values.std(ddof=1))
    error = math.sqrt(1 / count + test_train_ratio) * deviation
    if error > 0:
        t = mean / error
        p_value = float(2 * stats.t.sf(abs(t), count - 1))
    else:  # the same difference in every fold
        t = math.copysign(math.inf, mean) if mean else 0.0
        p_value = 0.0 if mean else 1.0
    reach = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * error
    return {
        "mean_difference": mean,
        "std_difference": deviation,
        "n_folds": count,
        "t": t,
        "df": count - 1,
        "p_value": p_value,
        "ci_low": mean - reach,
        "ci_high": mean + reach,
    }


def compare_conditions(scores: pd.DataFrame, baseline: str, confidence: float = 0.95) -> pd.DataFrame:
    """Every condition against ``real`` and against the baseline, per protocol, backbone, head and metric.

    Args:
        scores: table of `waferbench.scores.collect`; cells are paired by seed and fold.
        baseline: the second reference condition.
        confidence: of the intervals.

    Returns:
        One row per pair and metric, columns `COMPARISONS`; scores and differences are fractions, p-values are
        not corrected for the number of comparisons.
    """
    references = list(dict.fromkeys([REFERENCE, baseline]))
    missing = [name for name in references if name not in set(scores["condition"])]
    if missing:
        print(f"compare: condition {missing[0]!r} is not in this study: nothing is compared with it", file=sys.stderr)
    rows = []
    for (protocol, backbone, head), group in scores.groupby(["protocol", "backbone", "head"], sort=True):
        cells = {name: part.set_index(["seed", "fold"]) for name, part in group.groupby("condition", sort=True)}
        for reference in references:
            for condition, mine in cells.items():
                if condition == reference or reference not in cells:
                    continue
                other = cells[reference]
                shared = mine.index.intersection(other.index).sort_values()
                if not len(shared):
                    continue
                a, b = mine.loc[shared], other.loc[shared]
                ratio = float(b["n_test"].mean() / b["n_train_real"].mean())
                for metric in METRICS:
                    result = corrected_t_test(a[metric].to_numpy() - b[metric].to_numpy(), ratio, confidence)
                    means = {"mean": a[metric].mean(), "mean_reference": b[metric].mean(), "confidence": confidence}
                    names = {"protocol": protocol, "backbone": backbone, "head": head, "metric": metric}
                    rows.append({**names, "condition": condition, "reference": reference, **means, **result})
    table = pd.DataFrame(rows, columns=COMPARISONS)
    if len(table) and (table["n_folds"] < 2).any():
        print("compare: one fold only: no p-values or intervals; add folds to folds.run", file=sys.stderr)
    return table
