"""How much of what perfect synthesis would bring a source brings: its share of the ceiling, with an interval."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from waferbench.base.tables import TABLES
from waferbench.statistics.comparisons import Pair, align, pair_cells, power_effect
from waferbench.statistics.gains import METRIC, Condition

UNDETERMINED, ITSELF, ABSENT = "not determined", "the ceiling itself", "no ceiling in this study"
UNLIKE = "no real wafers alone or no ceiling of the same augmentation"


def fieller(
    parts: Sequence[float], wholes: Sequence[float], test_train_ratio: float, confidence: float = 0.95
) -> tuple[float, float, float]:
    """The ratio of two paired means with Fieller's interval: which ratios r the mean of part - r whole does not refute.

    Args:
        parts, wholes: J paired differences, fold by fold.
        test_train_ratio: the variance of a mean is (1/J + this) s^2, as in
            `waferbench.statistics.comparisons.corrected_t_test`.

    Returns:
        share, low, high; all NaN unless the interval of the whole's mean lies above zero: with a whole that may be
        nothing the ratios form no interval (Fieller 1954).
    """
    given = np.asarray([parts, wholes], float)
    nothing = (math.nan, math.nan, math.nan)
    count = given.shape[1]
    if count < 2:
        return nothing
    part, whole = given.mean(1)
    scale = (1 / count + test_train_ratio) * float(stats.t.ppf(0.5 + confidence / 2, count - 1)) ** 2
    (part_var, both), (_, whole_var) = scale * np.cov(given)
    a, b, c = whole**2 - whole_var, part * whole - both, part**2 - part_var
    if whole <= 0 or a <= 0 or whole_var <= 0:
        return nothing
    root = math.sqrt(max(b**2 - a * c, 0.0))
    return float(part / whole), float((b - root) / a), float((b + root) / a)


def share_of_ceiling(
    scores: pd.DataFrame,
    conditions: Sequence[Condition],
    baseline: str,
    oracles: Collection[str],
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What each source adds to real wafers as a share of what the oracle adds, per protocol, head and backbone.

    Both are measured from real wafers alone that are augmented as the source's condition is (`alone`), and the oracle
    is the one augmented so: what augmentation brings stands in neither of them, whatever the baseline.

    Args:
        scores: table of `waferbench.classification.scores.collect`.
        conditions: of the study, in its order.
        oracles: sources that add further real wafers.

    Returns:
        The table ceiling, macro-F1 as fractions, a row for each condition that adds wafers: gain over the baseline, and
        ceiling, the oracle's gain over real wafers alone, with their intervals; share of `fieller`, and where it is NaN
        the verdict that says why. over_reference: the gain over the condition that repeats real wafers to the same
        counts (``reference``, "" where there is none), its interval, and the smallest true one found with 80% power.
    """
    adding = [condition for condition in conditions if condition.source != "none"]
    rows = []
    for key, group in scores.groupby(["protocol", "head", "backbone"], sort=True):
        cells = dict(list(group.groupby("condition")))
        for one in adding:
            if one.name not in cells or baseline not in cells or one.name == baseline:
                continue
            pair = pair_cells(cells[one.name], cells[baseline], METRIC)
            if pair is not None:
                names = dict(zip(("protocol", "head", "backbone"), key, strict=True))
                names |= {"condition": one.name, "confidence": confidence, "n_folds": len(pair.values)}
                share = _share(cells, one, conditions, oracles, confidence)
                rows.append(
                    {**names, **_named("gain", pair, confidence), **share, **_over(cells, one, conditions, confidence)}
                )
    return pd.DataFrame(rows, columns=TABLES["ceiling"])


def alone(conditions: Sequence[Condition], one: Condition) -> str:
    """The condition of real wafers alone that is augmented as this one is; "" for none."""
    return next((c.name for c in conditions if c.source == "none" and c.augment == one.augment), "")


def repeated(conditions: Sequence[Condition], one: Condition) -> str:
    """The condition of real wafers repeated that is augmented as this one is; "" for none."""
    return next((c.name for c in conditions if c.source == "repeat" and c.augment == one.augment), "")


def ceiling_of(conditions: Sequence[Condition], one: Condition, oracles: Collection[str]) -> str:
    """The oracle's condition that is augmented as this one is; "" for none."""
    return next((c.name for c in conditions if c.source in oracles and c.augment == one.augment), "")


def _share(
    cells: dict[str, pd.DataFrame],
    one: Condition,
    conditions: Sequence[Condition],
    oracles: Collection[str],
    confidence: float,
) -> dict[str, float | str]:
    if not any(c.source in oracles and c.name in cells for c in conditions):
        return {"verdict": ABSENT}
    condition, ceiling, real = one.name, ceiling_of(conditions, one, oracles), alone(conditions, one)
    if not {ceiling, real} <= cells.keys():
        return {"verdict": UNLIKE}
    found = align([cells[name] for name in (condition, ceiling, real)], METRIC)
    if found is None:
        return {"verdict": UNDETERMINED}
    mine, best, reference = found.values
    row = _named("ceiling", Pair(best, reference, found.ratio, found.n_seeds), confidence)
    if condition == ceiling:
        return {**row, "verdict": ITSELF}
    share, low, high = fieller(mine - reference, best - reference, found.ratio, confidence)
    return {**row, "share": share, "low": low, "high": high, "verdict": UNDETERMINED if math.isnan(share) else ""}


def _over(
    cells: dict[str, pd.DataFrame], one: Condition, conditions: Sequence[Condition], confidence: float
) -> dict[str, float | str]:
    """Against real wafers repeated, augmented alike."""
    reference = repeated(conditions, one)
    if reference not in cells or reference == one.name:
        return {"reference": ""}
    pair = pair_cells(cells[one.name], cells[reference], METRIC)
    if pair is None:
        return {"reference": ""}
    gain = pair.gain(confidence)
    power = power_effect(pair.differences, pair.ratio, confidence)
    numbers = {"over_reference": gain["difference"], "over_low": gain["low"], "over_high": gain["high"]}
    return {"reference": reference, **numbers, "over_power_effect": power}


def _named(name: str, pair: Pair, confidence: float) -> dict[str, float]:
    gain = pair.gain(confidence)
    return {name: gain["difference"], f"{name}_low": gain["low"], f"{name}_high": gain["high"]}
