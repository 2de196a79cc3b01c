"""Comparisons of conditions over folds that share their training data, or over replicates that share no wafer."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from waferbench.base.protocols import protocol as protocol_of
from waferbench.base.tables import RUN, TABLES
from waferbench.statistics.ties import ROUNDING

REFERENCE = "real"
SEED = RUN[1:]  # what tells cells of one protocol and fold that are trained alike
METRICS = ("macro_f1", "accuracy")
LARGEST_T = 1e5  # beyond it the folds hardly differ, and noncentralities are not to be had
POWER = 0.8  # asked of the smallest effect that a study could have seen


def corrected_t_test(
    differences: Sequence[float], test_train_ratio: float, confidence: float = 0.95
) -> dict[str, float]:
    """The corrected resampled t-test of paired differences.

    Folds share training wafers, so their differences vary less than independent ones would; the variance of the
    mean is taken as (1/J + n_test/n_train) s^2 instead of s^2/J (Nadeau and Bengio 2003, eq. 9). With the ratio 0, of
    replicates, which share no wafer, it is the plain paired t-test.

    Args:
        differences: J scores of one condition minus those of the other, fold by fold.
        test_train_ratio: of the protocol, as by `test_train_ratio`.
        confidence: of the interval, 0-1.

    Returns:
        mean_difference, std_difference (J - 1 in the denominator), n_folds, t, df, p_value (two-sided), ci_low,
        ci_high. With one fold, or the same difference in every fold, nothing is known of the spread: t, p_value and the
        interval are NaN. Where there is no difference in any fold, t is 0 and p_value 1.
    """
    values = np.asarray(differences, np.float64)
    count, mean = len(values), _clean(values.mean())
    if count < 2:
        nothing = dict.fromkeys(("std_difference", "t", "p_value", "ci_low", "ci_high"), math.nan)
        return {"mean_difference": mean, "n_folds": count, "df": count - 1, **nothing}
    deviation = _clean(values.std(ddof=1))
    error = math.sqrt(1 / count + test_train_ratio) * deviation
    if error > 0:
        t = mean / error
        p_value = float(2 * stats.t.sf(abs(t), count - 1))
    else:
        t, p_value, error = (math.nan, math.nan, math.nan) if mean else (0.0, 1.0, 0.0)
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


def _clean(value: float) -> float:
    return float(value) if abs(value) > ROUNDING else 0.0


def standardised_effect(
    differences: Sequence[float], test_train_ratio: float, confidence: float = 0.95
) -> dict[str, float]:
    """Hedges' g of paired differences: their mean in standard deviations of one fold, small samples corrected.

    g = c mean / s with c = Gamma(df/2) / (sqrt(df/2) Gamma((df-1)/2)) (Hedges 1981, eq. 6a). The interval holds the
    noncentralities under which the observed t is neither too large nor too small (Steiger and Fouladi 1997); t is the
    one of `corrected_t_test`, so that the interval leaves out 0 where that test is significant.

    Returns:
        effect, effect_low, effect_high; NaN below three folds (c is 0 at one degree of freedom) and without spread.
    """
    test = corrected_t_test(differences, test_train_ratio, confidence)
    df, t = test["df"], test["t"]
    if df < 2 or test["std_difference"] == 0 or abs(t) > LARGEST_T:
        return dict.fromkeys(("effect", "effect_low", "effect_high"), math.nan)
    correction = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) * math.sqrt(2 / df)
    unit = correction * math.sqrt(1 / test["n_folds"] + test_train_ratio)
    tail = (1 - confidence) / 2
    return {
        "effect": unit * t,
        "effect_low": unit * float(special.nctdtrinc(df, 1 - tail, t)),
        "effect_high": unit * float(special.nctdtrinc(df, tail, t)),
    }


def power_effect(
    differences: Sequence[float], test_train_ratio: float, confidence: float = 0.95, power: float = POWER
) -> float:
    """The smallest true difference that `corrected_t_test` finds with this power, in the unit of the differences.

    The spread is the one seen here, the test two-sided at 1 - confidence: its t then follows a noncentral t, and the
    noncentrality that reaches the power is turned back into a difference. It depends on no observed mean, so that it
    says what a study could have seen, whatever it saw; the spread of few folds is itself known roughly.

    Returns:
        NaN below two folds and without spread.
    """
    count = len(differences)
    deviation = _clean(np.std(differences, ddof=1)) if count > 1 else 0.0
    if not deviation:
        return math.nan
    limit = float(stats.t.ppf(0.5 + confidence / 2, count - 1))
    noncentrality = float(special.nctdtrinc(count - 1, 1 - power, limit))  # the wrong side of the test adds nothing
    return noncentrality * math.sqrt(1 / count + test_train_ratio) * deviation


@dataclass(frozen=True)
class Aligned:
    """Scores of C conditions over the J folds or replicates that they share, each the mean over the seeds they share.

    values: float (C, J), fractions; ratio: as by `test_train_ratio`; n_seeds: shared seeds.
    """

    values: np.ndarray
    ratio: float
    n_seeds: int


def align(parts: Sequence[pd.DataFrame], metric: str) -> Aligned | None:
    """Conditions side by side; None where no seed and fold has them all.

    Args:
        parts: of each condition, the rows of one protocol in the table of scores, a row per seed and fold.
    """
    indexed = [part.set_index([*SEED, "fold"]) for part in parts]
    shared = indexed[0].index
    for part in indexed[1:]:
        shared = shared.intersection(part.index)
    if not len(shared):
        return None
    indexed = [part.loc[shared.sort_values()] for part in indexed]
    values = np.stack([part[metric].groupby("fold").mean().to_numpy(float) for part in indexed])
    ratio = test_train_ratio(parts[0]["protocol"].iloc[0])
    return Aligned(values, ratio, shared.get_level_values("seed").nunique())


def test_train_ratio(protocol: str) -> float:
    """n_test / n_train by which `corrected_t_test` allows for training wafers that folds share; 0 for replicates.

    It is the protocol's own: of k folds one tests, one validates and k - 2 train, 1 / (k - 2). The correction stands
    for the share of their training wafers that two folds have in common. A cap, which takes the first by content hash
    in each fold, and a reserve, which is drawn in each fold anew, shrink training sets without raising that share: how
    few wafers a classifier is left with does not count here.
    """
    known = protocol_of(protocol)
    if known.replicates:
        return 0.0
    test, val = (known.test, known.val) if known.test else (1 / known.folds, 1 / known.folds)
    return test / (1 - test - val)


@dataclass(frozen=True)
class Pair:
    """Two cells' scores over the folds they share, each the mean over the seeds they share.

    Seeds of one fold are trained and tested on the same wafers: they make its score steadier, but are no further folds.
    values, reference: float (J,), fractions; ratio, n_seeds: as in `Aligned`.
    """

    values: np.ndarray
    reference: np.ndarray
    ratio: float
    n_seeds: int

    @property
    def differences(self) -> np.ndarray:
        """float (J,), fold by fold."""
        return self.values - self.reference

    def gain(self, confidence: float) -> dict[str, float]:
        """difference, low, high, p_value, n_folds of `corrected_t_test`."""
        test = corrected_t_test(self.differences, self.ratio, confidence)
        names = {"difference": "mean_difference", "low": "ci_low", "high": "ci_high"}
        return {name: test[names.get(name, name)] for name in (*names, "p_value", "n_folds")}


def pair_cells(mine: pd.DataFrame, other: pd.DataFrame, metric: str) -> Pair | None:
    """Scores of two conditions (or heads) side by side; None where they share no seed and fold.

    Args:
        mine, other: rows of the table of scores, a row per seed, replicate and fold.
    """
    found = align([mine, other], metric)
    return None if found is None else Pair(*found.values, found.ratio, found.n_seeds)


def comparable(table: pd.DataFrame, leaky: Collection[str]) -> pd.DataFrame:
    """The rows of protocols under which all conditions are tested on the same wafers; the others are named on stderr.

    A leaky protocol splits added wafers, too, so that each condition is tested on others. A difference of two of them
    holds the difference of their test wafers and is no gain.

    Args:
        table: of cells or predictions, with the column ``protocol``.
        leaky: names of the leaky protocols.
    """
    found = table["protocol"].isin(list(leaky))
    for protocol in sorted(table["protocol"][found].unique()):
        print(f"{protocol}: conditions are tested on different wafers; they are not compared", file=sys.stderr)
    return table[~found]


def compare_conditions(
    scores: pd.DataFrame, baseline: str, confidence: float = 0.95, references: Sequence[str] = ()
) -> pd.DataFrame:
    """Every condition against each reference, per protocol, backbone, head and metric.

    Args:
        scores: table of `waferbench.classification.scores.collect`; cells are paired by seed and fold.
        baseline: a reference beside ``real``, which not every study has.
        confidence: of the intervals, 0-1.
        references: further ones, such as the condition that repeats real wafers.

    Returns:
        The table comparisons, one row per pair and metric; scores and differences are fractions. ``p_value`` is not
        corrected for the number of comparisons, ``p_holm`` is, among all that share protocol, head, metric and
        reference (Holm 1979). ``power_effect``: the smallest true difference found with 80% power.
    """
    names = dict.fromkeys([REFERENCE, baseline, *references])
    references = [name for name in names if name in set(scores["condition"])]
    if baseline not in references and len(scores):
        print(f"compare: condition {baseline!r} is not in this study: nothing is compared with it", file=sys.stderr)
    rows = []
    for (protocol, backbone, head), group in scores.groupby(["protocol", "backbone", "head"], sort=True):
        cells = dict(list(group.groupby("condition", sort=True)))
        names = {"protocol": protocol, "backbone": backbone, "head": head, "confidence": confidence}
        for reference in references:
            for condition, mine in cells.items():
                if condition == reference or reference not in cells:
                    continue
                for metric in METRICS:
                    pair = pair_cells(mine, cells[reference], metric)
                    if pair is not None:
                        row = {**names, "condition": condition, "reference": reference, "metric": metric}
                        rows.append({**row, **_comparison(pair, confidence)})
    table = _holm(pd.DataFrame(rows, columns=TABLES["comparisons"]))
    if len(table) and (table["n_folds"] < 2).any():
        print("compare: one fold only: no p-values or intervals; add folds to folds.run", file=sys.stderr)
    return table


def _comparison(pair: Pair, confidence: float) -> dict[str, float]:
    means = {"mean": pair.values.mean(), "mean_reference": pair.reference.mean(), "n_seeds": pair.n_seeds}
    given = (pair.differences, pair.ratio, confidence)
    effects = {**standardised_effect(*given), "power_effect": power_effect(*given)}
    return {**means, **corrected_t_test(*given), **effects}


def _holm(table: pd.DataFrame) -> pd.DataFrame:
    """The column p_holm; NaN where there is no p-value, which then counts as no comparison."""
    corrected = pd.Series(math.nan, index=table.index, dtype=float)
    known = table[table["p_value"].notna()]
    for _, family in known.groupby(["protocol", "head", "metric", "reference"]):
        corrected[family.index] = multipletests(family["p_value"], method="holm")[1]
    return table.assign(p_holm=corrected)
