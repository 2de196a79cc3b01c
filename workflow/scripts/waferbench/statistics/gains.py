"""Where the gains come from: the head, each step of a condition, the backbone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.statistics.comparisons import REFERENCE, pair_cells
from waferbench.statistics.verdicts import too_few

METRIC = "macro_f1"
PERMUTATIONS = 9999  # all orders are tried where there are no more than so many, up to seven backbones


class Condition(Protocol):
    """What classifiers were trained on. source: ``none``, ``repeat`` or a synthesizer's name.

    keep_if_judged: of a synthesizer's samples those alone whose class a judge confirms.
    """

    name: str
    source: str
    augment: bool
    keep_if_judged: bool


STEPS = ("augmentation", "repetition", "synthesis", "judging")


def compare_heads(scores: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """ECOC-SVM minus softmax macro-F1, per protocol, backbone and condition: the table heads.

    Both heads stand on the same network; folds are compared by the corrected resampled t-test.
    """
    rows = []
    for key, group in scores.groupby(["protocol", "backbone", "condition"], sort=True):
        heads = dict(list(group.groupby("head")))
        if not {"ecoc_svm", "softmax"} <= set(heads):
            continue
        pair = pair_cells(heads["ecoc_svm"], heads["softmax"], METRIC)
        if pair is not None:
            names = dict(zip(("protocol", "backbone", "condition"), key, strict=True))
            rows.append({**names, **pair.gain(confidence), "confidence": confidence})
    return pd.DataFrame(rows, columns=TABLES["heads"])


def steps(conditions: Iterable[Condition]) -> list[tuple[str, str, str]]:
    """The steps that lead from real wafers alone to each synthetic condition: (step, condition, reference).

    augmentation: real wafers, augmented or not; repetition: real wafers repeated to the counts that synthetic ones
    fill up to; synthesis: those repeats replaced by synthetic wafers; judging: of these only such as a judge confirms
    (where no condition has them all, this is the step of synthesis). The last three keep augmentation as it is. Where
    two conditions are alike, the first stands for both; a step without its reference is left out.

    Args:
        conditions: those of the study, in its order.
    """
    named: dict[tuple[str, bool, bool], str] = {}
    for condition in conditions:
        named.setdefault((condition.source, condition.augment, condition.keep_if_judged), condition.name)
    found = []
    for (source, augment, judged), name in named.items():
        if source == "none":
            step = ("augmentation", name, named.get(("none", False, False))) if augment else None
        elif source == "repeat":
            step = ("repetition", name, named.get(("none", augment, False)))
        elif judged and (source, augment, False) in named:
            step = ("judging", name, named[source, augment, False])
        else:
            step = ("synthesis", name, named.get(("repeat", augment, False)))
        if step and step[2]:
            found.append(step)
    return sorted(found, key=lambda step: STEPS.index(step[0]))


def decompose(scores: pd.DataFrame, conditions: Sequence[Condition], confidence: float = 0.95) -> pd.DataFrame:
    """The macro-F1 that each of the `steps` brings, per protocol, head and backbone: the table decomposition."""
    rows = []
    for key, group in scores.groupby(["protocol", "head", "backbone"], sort=True):
        cells = dict(list(group.groupby("condition")))
        for step, condition, reference in steps(conditions):
            if condition not in cells or reference not in cells:
                continue
            pair = pair_cells(cells[condition], cells[reference], METRIC)
            if pair is not None:
                names = dict(zip(("protocol", "head", "backbone"), key, strict=True))
                names |= {"step": step, "condition": condition, "reference": reference}
                rows.append({**names, **pair.gain(confidence)})
    return pd.DataFrame(rows, columns=TABLES["decomposition"])


def saturation(
    scores: pd.DataFrame, parameters: Mapping[str, int], baseline: str, confidence: float = 0.95
) -> pd.DataFrame:
    """Whether larger or better backbones gain less, per protocol, head and condition over backbones.

    Args:
        scores: table of `waferbench.classification.scores.collect`.
        parameters: of each backbone, without the head's share or with it, alike for all.
        baseline: the condition that gains are measured against.

    Returns:
        The table saturation, two rows a condition: ``against`` parameters (slope: gain per tenfold parameters) and
        real_score, the macro-F1 of condition ``real``, or of the baseline where a study lacks it (slope: gain per unit
        of it). rho: Spearman's, its p_value by permutation; slope: least squares with the t interval of ``confidence``.
        Below five backbones ``verdict`` says so and all numbers are NaN. Where the score is the baseline's, its noise
        enters the score and, with the other sign, the gain, so that the slope falls by itself (Oldham 1962):
        ``verdict`` then says this.
    """
    rows = []
    for (protocol, head), group in scores.groupby(["protocol", "head"], sort=True):
        reference = REFERENCE if REFERENCE in set(group["condition"]) else baseline
        gains, real = _gains(group, baseline, reference)
        for condition in sorted(gains["condition"].unique()):
            gain = gains[gains["condition"] == condition].set_index("backbone")["gain"]
            sides = {"parameters": np.log10(pd.Series(parameters, dtype=float)), "real_score": real}
            for against, values in sides.items():
                shared = gain.index.intersection(values.index)
                names = {"protocol": protocol, "head": head, "condition": condition, "against": against}
                verdict = too_few(len(shared), "backbone")
                numbers = dict.fromkeys(("rho", "p_value", "slope", "slope_low", "slope_high"), math.nan)
                if not verdict:
                    numbers = _trend(values[shared].to_numpy(), gain[shared].to_numpy(), confidence)
                    if against == "real_score" and baseline == reference:
                        verdict = "gain and score share the baseline's noise: the slope falls by itself"
                rows.append({**names, **numbers, "n_backbones": len(shared), "verdict": verdict})
    return pd.DataFrame(rows, columns=TABLES["saturation"])


def _gains(group: pd.DataFrame, baseline: str, reference: str) -> tuple[pd.DataFrame, pd.Series]:
    """backbone, condition, gain over the baseline; and the macro-F1 of the reference by backbone."""
    rows, real = [], {}
    for backbone, part in group.groupby("backbone", sort=True):
        cells = dict(list(part.groupby("condition", sort=True)))
        if reference in cells:
            real[backbone] = float(cells[reference].groupby("fold")[METRIC].mean().mean())
        for condition, mine in cells.items():
            pair = pair_cells(mine, cells[baseline], METRIC) if baseline in cells and condition != baseline else None
            if pair is not None and condition != reference:
                gain = float(pair.differences.mean())
                rows.append({"backbone": backbone, "condition": condition, "gain": gain})
    return pd.DataFrame(rows, columns=["backbone", "condition", "gain"]), pd.Series(real, dtype=float)


def _trend(x: np.ndarray, y: np.ndarray, confidence: float) -> dict[str, float]:
    """Spearman's rho with its permutation p-value, and the slope with its interval; NaN where x or y is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return dict.fromkeys(("rho", "p_value", "slope", "slope_low", "slope_high"), math.nan)
    ranks = stats.zscore(stats.rankdata(y))
    test = stats.permutation_test(
        (stats.rankdata(x),),
        lambda order, axis: (stats.zscore(order, axis=axis) * ranks).mean(axis),
        permutation_type="pairings",
        vectorized=True,
        n_resamples=PERMUTATIONS,
        rng=np.random.default_rng(0),
    )
    line = stats.linregress(x, y)
    reach = float(stats.t.ppf(0.5 + confidence / 2, len(x) - 2)) * line.stderr
    numbers = {"slope": line.slope, "slope_low": line.slope - reach, "slope_high": line.slope + reach}
    return {"rho": float(test.statistic), "p_value": float(test.pvalue), **numbers}
