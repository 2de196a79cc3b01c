"""Which condition ranks best over the backbones: Friedman's test, and Nemenyi's for each pair.

Demsar, "Statistical comparisons of classifiers over multiple data sets", 2006, section 3.2.2, the backbones being the
blocks and the conditions the treatments. His blocks are independent; backbones are not: they share what generators drew
and the test wafers, so that a lucky draw ranks well on all of them. The tests' p-values therefore come from orders of
the conditions that are exchanged within a fold, on all backbones at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scikit_posthocs import posthoc_nemenyi_friedman
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.statistics.blocks import Blocks, blocks_of
from waferbench.statistics.verdicts import too_few

PERMUTATIONS = 9999
AT_ONCE = 500  # permutations held in memory
ROUNDING = 1e-9  # of mean ranks


def rank_conditions(scores: pd.DataFrame, confidence: float = 0.95) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean ranks of the conditions, and the p-value of each pair, per protocol and head.

    Where folds (or replicates) are enough for an order of the conditions to be rare at 1 - confidence, conditions are
    ranked in each of them and on each backbone, and p-values are those of `permuted`.
    Otherwise scores are averaged over folds and p-values are Friedman's and Nemenyi's own, which speak of these
    generators' draws alone, and ``verdict`` says so.

    Args:
        scores: table of `waferbench.classification.scores.collect`; macro-F1 is averaged over seeds.
        confidence: 1 minus the level of the critical difference.

    Returns:
        The tables ranks (mean_rank 1 = best, equal scores share their mean rank; statistic: Friedman's chi-squared of
        the mean ranks; two of them that differ by critical_difference or more differ significantly; n_blocks:
        folds) and rank_pairs (each pair once). Where ``verdict`` says that backbones or conditions are too few, there
        is no test: these numbers are NaN and rank_pairs has no rows.
    """
    ranks, pairs = [], []
    for blocks in blocks_of(scores):
        names = {"protocol": blocks.protocol, "head": blocks.head}
        count, n, k = blocks.values.shape
        verdict = too_few(n, "backbone") or too_few(k, "condition", least=3)
        by_block = bool(verdict == "" and enough(count, k, confidence))
        values = blocks.values if by_block or not count else blocks.values.mean(0, keepdims=True)
        means = _ranks(values).mean((0, 1)) if values.size else np.full(k, math.nan)
        statistic = p_value = difference = math.nan
        if not verdict:
            statistic = friedman(values)
            if by_block:
                p_value, difference, found = permuted(blocks, confidence)
            else:
                p_value, difference = iman_davenport(statistic, k, n), critical_difference(k, n, confidence)
                found = list(_nemenyi(values[0], blocks.conditions))
                verdict = (
                    f"for these generators alone: {count} fold{' is' if count == 1 else 's are'} too few to "
                    "tell their draws from the conditions"
                )
            pairs += [{**names, **row} for row in found]
        test = {"n_backbones": n, "statistic": statistic, "p_value": p_value, "critical_difference": difference}
        ranks += [
            {**names, "condition": blocks.conditions[i], "mean_rank": means[i], **test, "n_blocks": count}
            | {"verdict": verdict}
            for i in np.argsort(means, kind="stable")
        ]
    return pd.DataFrame(ranks, columns=TABLES["ranks"]), pd.DataFrame(pairs, columns=TABLES["rank_pairs"])


def friedman(values: np.ndarray) -> float:
    """Friedman's chi-squared, corrected for ties, of ranks averaged over blocks: values float (J, N, K).

    With one block it is the usual statistic of N backbones and K conditions; 0 where all are tied.
    """
    ranks = _ranks(values).mean(0)
    n, k = ranks.shape
    within = float(((_ranks(values) - (k + 1) / 2) ** 2).sum() / len(values))
    spread = float(((ranks.mean(0) - (k + 1) / 2) ** 2).sum())
    return n * n * (k - 1) * spread / within if within else 0.0


def enough(n_blocks: int, n_treatments: int, confidence: float) -> bool:
    """Whether that every block has the same order of treatments is rarer than 1 - confidence by chance."""
    return (n_blocks - 1) * math.lgamma(n_treatments + 1) >= -math.log(1 - confidence)


def permuted(blocks: Blocks, confidence: float = 0.95) -> tuple[float, float, list[dict[str, str | float]]]:
    """Friedman's and Nemenyi's tests by 9,999 random orders of the conditions within each block.

    An order is the same for all backbones of a block: under the null hypothesis what a condition drew there could have
    been any other's. The statistic is the spread of the mean ranks over blocks and backbones, so that it is large where
    blocks agree. They count as independent, which is a little bold of folds that share training wafers.

    Returns:
        The p-value of Friedman's statistic; the critical difference, the least that the largest difference of two mean
        ranks reaches at most so often as 1 - confidence (NaN where none is as rare); a row for each pair, its p-value
        being how often that largest difference is at least the pair's.
    """
    rng = np.random.default_rng(0)
    count, _, k = blocks.values.shape
    ranks = _ranks(blocks.values).mean(1)  # (J, K): an order moves all backbones, so that their mean is enough
    observed, null = ranks.mean(0), np.empty((PERMUTATIONS, k))
    for start in range(0, PERMUTATIONS, AT_ONCE):
        shape = (len(null[start : start + AT_ONCE]), count, k)
        null[start : start + AT_ONCE] = rng.permuted(np.broadcast_to(ranks, shape), axis=2).mean(1)
    spread, widest = null.var(1), np.sort(np.ptp(null, axis=1))

    def share(values: np.ndarray, least: float) -> float:
        return float((1 + (values >= least - ROUNDING).sum()) / (1 + len(values)))

    rare = [d for d in np.unique(widest.round(9)) if share(widest, d) <= 1 - confidence + ROUNDING]
    pairs: list[dict[str, str | float]] = [
        {"condition": a, "reference": b, "p_value": share(widest, abs(observed[i] - observed[j]))}
        for i, a in enumerate(blocks.conditions)
        for j, b in enumerate(blocks.conditions[:i])
    ]
    return share(spread, observed.var()), float(rare[0]) if rare else math.nan, pairs


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks of the conditions, the last axis, 1 = best; equal scores share their mean rank."""
    return stats.rankdata(-scores.round(12), axis=-1)


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


def _nemenyi(scores: np.ndarray, conditions: list[str]) -> Iterator[dict[str, str | float]]:
    """Each pair of conditions with its p-value: scores (N, K) of backbones."""
    table = posthoc_nemenyi_friedman(scores)
    for i, condition in enumerate(conditions):
        for j in range(i):
            yield {"condition": condition, "reference": conditions[j], "p_value": float(table.iloc[i, j])}
