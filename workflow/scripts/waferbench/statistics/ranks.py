"""Which condition ranks best over the backbones: Friedman's test, and Nemenyi's for each pair.

Demsar, "Statistical comparisons of classifiers over multiple data sets", 2006, section 3.2.2, the backbones being the
blocks and the conditions the treatments.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.statistics.verdicts import too_few


def rank_conditions(scores: pd.DataFrame, confidence: float = 0.95) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean ranks of the conditions, and the p-value of each pair, per protocol and head.

    Args:
        scores: table of `waferbench.classification.scores.collect`; macro-F1 is averaged over seeds, then over folds.
        confidence: 1 minus the level of the critical difference.

    Returns:
        The tables ranks (mean_rank 1 = best, equal scores share their mean rank; statistic: Friedman's chi-squared,
        p_value: by `iman_davenport`; two mean ranks that differ by critical_difference or more differ significantly)
        and rank_pairs (each pair once). Where ``verdict`` says that backbones or conditions are too few, there is no
        test: these numbers are NaN and rank_pairs has no rows.
    """
    ranks, pairs = [], []
    for (protocol, head), blocks in _blocks(scores):
        names = {"protocol": protocol, "head": head}
        n, k = blocks.shape
        verdict = too_few(n, "backbone") or too_few(k, "condition", least=3)
        statistic = p_value = difference = math.nan
        if not verdict:
            statistic = float(stats.friedmanchisquare(*blocks.to_numpy().T).statistic)
            p_value = iman_davenport(statistic, k, n)
            difference = critical_difference(k, n, confidence)
            pairs += [{**names, **row} for row in _nemenyi(blocks)]
        test = {"n_backbones": n, "statistic": statistic, "p_value": p_value, "critical_difference": difference}
        means = blocks.rank(axis=1, ascending=False).mean() if n else pd.Series(math.nan, blocks.columns)
        ranks += [
            {**names, "condition": condition, "mean_rank": mean, **test, "verdict": verdict}
            for condition, mean in means.sort_values(kind="stable").items()
        ]
    return pd.DataFrame(ranks, columns=TABLES["ranks"]), pd.DataFrame(pairs, columns=TABLES["rank_pairs"])


def iman_davenport(statistic: float, n_treatments: int, n_blocks: int) -> float:
    """The p-value of Friedman's chi-squared by F = (N - 1) chi2 / (N (k - 1) - chi2), less conservative than its own.

    F has k - 1 and (k - 1)(N - 1) degrees of freedom (Iman and Davenport 1980; Demsar 2006, section 3.2.2). Where all
    blocks agree F is infinite; no p-value is below (k!)^(1 - N), the chance that so many orders agree.
    """
    k, n = n_treatments, n_blocks
    rest = n * (k - 1) - statistic
    f = math.inf if rest <= 1e-9 else (n - 1) * statistic / rest
    return float(np.maximum(stats.f.sf(f, k - 1, (k - 1) * (n - 1)), math.factorial(k) ** (1.0 - n)))


def critical_difference(n_treatments: int, n_blocks: int, confidence: float = 0.95) -> float:
    """The least difference of mean ranks that is significant: q sqrt(k (k + 1) / (6 N)) (Demsar 2006, section 3.2.2).

    q is the quantile of the studentised range of k groups with infinite degrees of freedom, over sqrt(2).
    """
    q = stats.studentized_range.ppf(confidence, n_treatments, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(n_treatments * (n_treatments + 1) / (6 * n_blocks)))


def _blocks(scores: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Macro-F1 of backbones (rows) by conditions (columns) per protocol and head, of backbones that have them all."""
    folds = scores.groupby(["protocol", "head", "backbone", "condition", "fold"])["macro_f1"].mean()
    means = folds.groupby(["protocol", "head", "backbone", "condition"]).mean()
    for key, part in means.groupby(["protocol", "head"], sort=True):
        table = part.droplevel(["protocol", "head"]).unstack("condition")
        whole = table.dropna()
        if len(whole) < len(table):
            left_out = ", ".join(sorted(set(table.index) - set(whole.index)))
            print(f"ranks: {left_out}: not every condition has a score; left out", file=sys.stderr)
        yield key, whole


def _nemenyi(blocks: pd.DataFrame) -> Iterator[dict[str, str | float]]:
    table = posthoc_nemenyi_friedman(blocks.to_numpy())
    for i, condition in enumerate(blocks.columns):
        for j in range(i):
            yield {"condition": condition, "reference": blocks.columns[j], "p_value": float(table.iloc[i, j])}
