"""What a condition brings on backbones and in folds that were not run: a mixed model with both as random factors."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from waferbench.base.tables import TABLES
from waferbench.statistics.blocks import blocks_of
from waferbench.statistics.comparisons import test_train_ratio
from waferbench.statistics.verdicts import too_few

LEAST = 4  # levels of a random factor: of fewer its variance is a guess
NOT_CONVERGED = "the fit of the mixed model did not converge"
NUMBERS = ("effect", "low", "high", "p_value", "std_backbone", "std_fold", "std_rest")


@dataclass(frozen=True)
class Components:
    """mean; and variances: of backbones, of folds, of what is left."""

    mean: float
    backbone: float
    fold: float
    rest: float


def fit_components(differences: np.ndarray) -> Components | None:
    """Restricted maximum likelihood of d[j, n] = mean + fold[j] + backbone[n] + rest[j, n], by statsmodels.

    Args:
        differences: float (J, N), of folds and backbones, with a spread.

    Returns:
        None where no optimiser converged.
    """
    count, n = differences.shape
    scale = differences.std()
    frame = pd.DataFrame({"d": (differences / scale).ravel(), "fold": np.repeat(np.arange(count), n)})
    frame = frame.assign(backbone=np.tile(np.arange(n), count), all=1)
    with warnings.catch_warnings():
        # said of a variance of zero, which lies on the edge of what is possible, and where another optimiser is tried
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MixedLM.from_formula(
            "d ~ 1", frame, groups="all", re_formula="0", vc_formula={"a": "0 + C(backbone)", "b": "0 + C(fold)"}
        )
        fit = model.fit(reml=True, method=["lbfgs", "powell"])
    if not fit.converged:
        return None
    names = list(model.exog_vc.names)
    found = dict(zip(names, fit.vcomp, strict=True))
    unit = float(scale) ** 2
    return Components(float(differences.mean()), found["a"] * unit, found["b"] * unit, float(fit.scale) * unit)


def mixed_effects(scores: pd.DataFrame, baseline: str, confidence: float = 0.95) -> pd.DataFrame:
    """Macro-F1 of each condition minus the baseline's, for backbones and folds like those that were run.

    The interval is t's with as many degrees of freedom as the smaller factor gives, levels - 1. Folds that share
    training wafers get the variance (1/J + n_test/n_train) of `waferbench.statistics.comparisons.corrected_t_test`.

    Args:
        scores: table of `waferbench.classification.scores.collect`; seeds of a fold are averaged.

    Returns:
        The table mixed_model, fractions; std_...: standard deviations of the effect between backbones, between folds
        (or replicates), and of what neither explains. Where one of the two has fewer than four levels, or the fit did
        not converge, ``verdict`` says so and the numbers are NaN.
    """
    rows = []
    for blocks in blocks_of(scores):
        if baseline not in blocks.conditions:
            continue
        count, n, _ = blocks.values.shape
        verdict = too_few(n, "backbone", LEAST) or too_few(count, "fold", LEAST)
        names = {"protocol": blocks.protocol, "head": blocks.head, "reference": baseline}
        names |= {"n_backbones": n, "n_folds": count}
        reference = blocks.values[:, :, blocks.conditions.index(baseline)]
        ratio = test_train_ratio(blocks.protocol)
        for k, condition in enumerate(blocks.conditions):
            if condition != baseline:
                numbers: dict[str, float] | None = dict.fromkeys(NUMBERS, math.nan)
                if not verdict:
                    numbers = _effect(blocks.values[:, :, k] - reference, ratio, confidence)
                found = {"verdict": verdict, **numbers} if numbers else {"verdict": NOT_CONVERGED}
                rows.append({**names, "condition": condition, **found})
    return pd.DataFrame(rows, columns=TABLES["mixed_model"])


def _effect(differences: np.ndarray, ratio: float, confidence: float) -> dict[str, float] | None:
    """The numbers of one condition; None where the fit did not converge."""
    if np.ptp(differences) < 1e-12:
        return {**dict.fromkeys(NUMBERS, math.nan), "effect": float(differences.mean())}
    found = fit_components(differences)
    if found is None:
        return None
    count, n = differences.shape
    error = math.sqrt(found.backbone / n + (1 / count + ratio) * (found.fold + found.rest / n))
    df = min(count, n) - 1
    reach = float(stats.t.ppf(0.5 + confidence / 2, df)) * error
    numbers = {"effect": found.mean, "low": found.mean - reach, "high": found.mean + reach}
    numbers["p_value"] = float(2 * stats.t.sf(abs(found.mean) / error, df))
    spreads = {"std_backbone": found.backbone, "std_fold": found.fold, "std_rest": found.rest}
    return {**numbers, **{name: math.sqrt(max(variance, 0.0)) for name, variance in spreads.items()}}
