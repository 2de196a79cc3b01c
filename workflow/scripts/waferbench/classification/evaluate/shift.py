"""How far another data set is from the wafers that a classifier was trained on.

Each measure stands beside its own level at home: the same measure of the classifier's held-out wafers.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy import stats

SHIFT = ("measure", "value", "at_home", "limit", "shifted", "text")
MARGIN = 0.2  # beyond the level at home, in the measure's own unit (shares and distances of distributions, 0-1)
UNUSUAL = 0.05  # share of wafers unlike any in training; 0.01 of the held-out ones are, by definition
SURER = 0.05  # mean confidence above accuracy
SURE = 0.99  # that a share is not beyond its limit by chance
FEWEST = 10  # wafers of a class that its failing fractions are compared from


def shift(table: pd.DataFrame, training: pd.DataFrame, held_out: pd.DataFrame) -> pd.DataFrame:
    """Grids, failing fractions, features and confidence of a set against those at home.

    Args:
        table: of the set's labelled wafers: ``label, called, probability, unseen_grid, unusual, dies, failing_dies``.
        training, held_out: rows of the study's wafer table: ``label, rows, columns, dies, failing_dies``.

    Returns:
        Columns `SHIFT`, a row a measure: ``unseen_grids`` and ``unusual`` (shares of the wafers), ``failing_fraction``
        (Kolmogorov and Smirnov's distance from the training wafers of the same class, mean over classes of ten wafers
        and more), ``confidence`` (mean probability of the class called, beside the accuracy). shifted: beyond the
        limit.
    """
    grids = set(zip(training["rows"], training["columns"], strict=True))
    home = _share([pair not in grids for pair in zip(held_out["rows"], held_out["columns"], strict=True)])
    n, rows = len(table), []
    value = float(table["unseen_grid"].mean())
    rows.append(
        ("unseen_grids", value, home, home + MARGIN, _beyond(value, home + MARGIN, n),
         f"{value:.0%} of the wafers have a die grid that no training wafer has (held-out wafers: {home:.0%})")
    )  # fmt: skip
    value, home = _distance(table, training), _distance(held_out, training)
    if np.isfinite(value):
        base = home if np.isfinite(home) else 0.0
        rows.append(
            ("failing_fraction", value, home, base + MARGIN, value > base + MARGIN,
             f"failing fractions of a class are {value:.2f} from those of its training wafers (0 alike, 1 apart; "
             f"held-out wafers: {base:.2f})")
        )  # fmt: skip
    value = float(table["unusual"].mean())
    rows.append(
        ("unusual", value, 0.01, UNUSUAL, _beyond(value, UNUSUAL, n),
         f"{value:.0%} of the wafers are farther from every training wafer than 99% of the held-out ones are")
    )  # fmt: skip
    sure, right = float(table["probability"].mean()), float((table["label"] == table["called"]).mean())
    limit = right + SURER
    error = float(np.sqrt(max(right * (1 - right), 1 / n) / n))
    rows.append(
        ("confidence", sure, right, limit, sure > limit and sure - right > stats.norm.ppf(SURE) * error,
         f"mean confidence {sure:.2f}, accuracy {right:.2f}: probabilities cannot be believed here")
    )  # fmt: skip
    return pd.DataFrame(rows, columns=list(SHIFT))


def warnings(table: pd.DataFrame) -> list[str]:
    """What is shifted, a sentence each."""
    return table.loc[table["shifted"].astype(bool), "text"].tolist()


def _share(flags: Collection[bool]) -> float:
    flags = list(flags)
    return float(np.mean(flags)) if flags else 0.0


def _beyond(share: float, limit: float, n: int) -> bool:
    """Whether a share of n wafers is above a limit, and not by chance."""
    return share > limit and float(stats.binom.sf(round(share * n) - 1, n, min(limit, 1.0))) < 1 - SURE


def _distance(some: pd.DataFrame, training: pd.DataFrame) -> float:
    found = []
    for label, mine in some.groupby("label"):
        theirs = training[training["label"] == label]
        if min(len(mine), len(theirs)) >= FEWEST:
            found.append(stats.ks_2samp(*(part["failing_dies"] / part["dies"] for part in (mine, theirs))).statistic)
    return float(np.mean(found)) if found else float("nan")
