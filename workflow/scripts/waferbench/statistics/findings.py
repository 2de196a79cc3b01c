"""What a study says, finding by finding, in an order and in sentences: the first one is the study's answer.

Every finding is of one protocol and head, on the mean over backbones; tables by backbone hold the rest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import stats

from waferbench.base.tables import RUN, TABLES
from waferbench.statistics.ceiling import share_of_ceiling
from waferbench.statistics.comparisons import Pair, pair_cells, power_effect
from waferbench.statistics.gains import METRIC, Condition, steps

HEADS = ("ecoc_svm", "softmax")  # the first that a study has
REAL = "real"  # source of the rows that hold the judge's calls of held-out wafers
NAN = math.nan


@dataclass(frozen=True)
class Evidence:
    """What findings are made of.

    scores, validation: tables of `waferbench.classification.scores.collect`, on test and on validation wafers, of one
    protocol. agreement, texture, reconstruction: tables of these names, empty where a study has none. conditions: in
    the study's order. oracles: sources that add further real wafers.
    """

    scores: pd.DataFrame
    validation: pd.DataFrame
    agreement: pd.DataFrame
    texture: pd.DataFrame
    reconstruction: pd.DataFrame
    conditions: Sequence[Condition]
    baseline: str
    oracles: Collection[str] = ()
    confidence: float = 0.95


@dataclass
class Findings:
    """Rows of the table findings, in their order."""

    rows: list[dict[str, str | float | int]] = field(default_factory=list)

    def add(self, finding: str, subject: str, text: str, value=NAN, low=NAN, high=NAN, n: int = 0) -> None:
        given = {"finding": finding, "subject": subject, "value": value, "low": low, "high": high, "n": n, "text": text}
        self.rows.append(given)


def find(evidence: Evidence) -> pd.DataFrame:
    """The table findings, the headline first.

    Returns:
        finding: headline, ceiling, best_generator, share, agreement, judging, power, texture, reconstruction, of which
        those are left out that a study has nothing for; subject: a condition or source; value, low, high: fractions (of
        texture the AUC, of the headline what its first figure says), NaN where there is none; n: folds or replicates,
        of agreement and reconstruction wafers; text: a sentence, differences in points of macro-F1.
    """
    if not len(evidence.scores):
        text = "Every protocol of this study tests each condition on other wafers, so that nothing is compared."
        nothing = Findings()
        nothing.add("headline", "", text)
        return pd.DataFrame(nothing.rows, columns=TABLES["findings"])
    scores, validation = (_over_backbones(table) for table in (evidence.scores, evidence.validation))
    cells = dict(list(scores.groupby("condition")))
    table = share_of_ceiling(scores, evidence.conditions, evidence.baseline, evidence.oracles, evidence.confidence)
    gains = table.set_index("condition", drop=False)
    best, found = _best_generator(evidence, validation, gains.index), Findings()
    oracle = next((c.name for c in evidence.conditions if c.source in evidence.oracles and c.name in gains.index), "")
    parts = []
    if oracle:
        parts.append(_ceiling(found, gains.loc[oracle], evidence.baseline))
    if best:
        parts.append(_generator(found, gains.loc[best.name], evidence.baseline, bool(oracle)))
        parts.append(_labels(found, evidence, best.source))
    _judging(found, evidence, cells)
    _power(found, evidence, cells, gains, best.name if best else oracle)
    if best:
        _texture(found, evidence, best.name)
    _reconstruction(found, evidence)
    first = found.rows[0] if parts else {}
    text = "; ".join(filter(None, parts)) if parts else _without_generators(found, evidence, cells)
    headline = {**(first or found.rows.pop()), "finding": "headline", "text": f"{text[:1].upper()}{text[1:]}."}
    return pd.DataFrame([headline, *found.rows], columns=TABLES["findings"])


def _over_backbones(scores: pd.DataFrame) -> pd.DataFrame:
    """Of the first head the mean over backbones, a row a seed, fold and condition."""
    head = next((name for name in HEADS if (scores["head"] == name).any()), HEADS[0])
    keys = [*RUN, "fold", "condition", "head"]
    numbers = [name for name in (METRIC, "n_test", "n_train_real") if name in scores]
    mine = scores[scores["head"] == head]
    return mine.groupby(keys, as_index=False)[numbers].mean().assign(backbone="")


def _best_generator(evidence: Evidence, validation: pd.DataFrame, known: Collection[str]) -> Condition | None:
    """The synthesizer's condition of the highest mean macro-F1 on validation wafers; the first of equal ones.

    Conditions that keep what a judge confirms stand for no generator, unless there is no other.
    """
    made = [c for c in evidence.conditions if c.source not in ("none", "repeat", *evidence.oracles) and c.name in known]
    made = [c for c in made if not c.keep_if_judged] or made
    means = validation.groupby("condition")[METRIC].mean()
    return max(made, key=lambda condition: means.get(condition.name, -math.inf), default=None)


def _ceiling(found: Findings, row: pd.Series, baseline: str) -> str:
    numbers = (float(row["gain"]), float(row["gain_low"]), float(row["gain_high"]))
    what = _adds(*numbers, f"over {baseline}")
    text = f"Perfect synthesis, further real wafers in the place of synthetic ones, {what}."
    found.add("ceiling", row["condition"], text, *numbers, int(row["n_folds"]))
    return f"perfect synthesis {_adds(*numbers, 'here')}"


def _generator(found: Findings, row: pd.Series, baseline: str, with_ceiling: bool) -> str:
    name, reference, count = row["condition"], row["reference"], int(row["n_folds"])
    columns = ("over_reference", "over_low", "over_high") if reference else ("gain", "gain_low", "gain_high")
    gain, low, high = (float(row[column]) for column in columns)
    what = _adds(gain, low, high, f"over {reference or baseline}")
    text = f"The best generator on validation wafers ({name}) {what}."
    found.add("best_generator", name, text, gain, low, high, count)
    if not with_ceiling:
        return f"the best generator ({name}) {what}"
    share, low, high = (float(row[column]) for column in ("share", "low", "high"))
    if math.isnan(share):
        text = f"What share of the ceiling {name} reaches is not determined: the ceiling may be no gain at all."
        found.add("share", name, text, n=count)
        return f"the best generator ({name}) {what}"
    text = f"{name} reaches {share:.0%} of the ceiling ({low:.0%} to {high:.0%})."
    found.add("share", name, text, share, low, high, count)
    return f"the best generator ({name}) reaches {'none' if share <= 0 else f'{share:.0%}'} of that"


def _labels(found: Findings, evidence: Evidence, source: str) -> str:
    """Which share of a source's labels is wrong, by the judge's agreement over that with held-out real wafers.

    Classes count alike. The interval is that of independent samples and of this judge.
    """
    table = evidence.agreement
    table = table[table["in_pool"].astype(bool)].assign(right=table["y_judge"] == table["label"])
    by = {name: part.groupby("label")["right"].agg(["mean", "size"]) for name, part in table.groupby("source")}
    if source not in by:
        return ""
    mine, real = by[source], by.get(REAL)
    if real is not None:
        shared = mine.index.intersection(real.index)
        mine, real = mine.loc[shared], real.loc[shared]
    (carried, noise), (floor, floor_noise) = _mean_share(mine), (1.0, 0.0) if real is None else _mean_share(real)
    if not len(mine) or not floor:
        return ""
    ratio = carried / floor
    error = math.sqrt(noise + ratio**2 * floor_noise) / floor
    reach = float(stats.norm.ppf(0.5 + evidence.confidence / 2)) * error
    wrong, low, high = (min(max(1 - r, 0.0), 1.0) for r in (ratio, ratio + reach, ratio - reach))
    text = f"a classifier of real wafers takes {carried:.0%} of {source}'s samples for the class they were made for"
    if real is not None:
        text += f", and {floor:.0%} of held-out real wafers for theirs"
    most = "" if real is not None else "at most "  # without a floor all of the judge's own errors are counted
    what = f"{most}{wrong:.0%} of its labels are wrong" if wrong >= 0.005 else "its labels are as right as real ones"
    count = int(mine["size"].sum())
    found.add("agreement", source, f"{text[:1].upper()}{text[1:]}: {what}.", wrong, low, high, count)
    return what


def _mean_share(table: pd.DataFrame) -> tuple[float, float]:
    """Mean over classes of a share, and its variance; columns mean and size."""
    variance = table["mean"] * (1 - table["mean"]) / table["size"]
    return float(table["mean"].mean()) if len(table) else 0.0, float(variance.sum() / max(len(table), 1) ** 2)


def _judging(found: Findings, evidence: Evidence, cells: dict[str, pd.DataFrame]) -> None:
    for step, condition, reference in steps(evidence.conditions):
        if step == "judging" and {condition, reference} <= cells.keys():
            pair = pair_cells(cells[condition], cells[reference], METRIC)
            if pair is not None:
                gain = pair.gain(evidence.confidence)
                numbers = (gain["difference"], gain["low"], gain["high"])
                text = f"Keeping only those samples of {reference} whose class a judge confirms {_adds(*numbers)}."
                found.add("judging", condition, text, *numbers, gain["n_folds"])


def _power(
    found: Findings, evidence: Evidence, cells: dict[str, pd.DataFrame], gains: pd.DataFrame, subject: str
) -> None:
    """Of the comparison that matters: the best generator, or else the oracle, with repeated real wafers."""
    reference = (gains.loc[subject, "reference"] or evidence.baseline) if subject else ""
    pair = pair_cells(cells[subject], cells[reference], METRIC) if subject else None
    if pair is None:
        return
    count, least = len(pair.values), power_effect(pair.differences, pair.ratio, evidence.confidence)
    if not math.isnan(least):
        text = (
            f"This study finds a true difference of {points(least)} points between {subject} and {reference} "
            "four times in five, and a smaller one less often."
        )
        found.add("power", subject, text, least, n=count)
    elif count == 1:
        text = "One fold was run, so that no difference can be told from chance: add folds to folds.run."
        found.add("power", subject, text, n=count)


def _texture(found: Findings, evidence: Evidence, condition: str) -> None:
    mine = evidence.texture[evidence.texture["condition"] == condition]
    auc, bits = (float(mine[column].mean()) for column in ("auc", "bits"))
    if not math.isnan(auc):
        text = f"What {condition} adds is told from real wafers with an AUC of {auc:.2f} (0.5 is chance)"
        if not math.isnan(bits):
            text += f", and being synthetic tells {bits:.2f} bits of the class"
        found.add("texture", condition, f"{text}.", auc, n=len(mine))


def _reconstruction(found: Findings, evidence: Evidence) -> None:
    for source, part in evidence.reconstruction.groupby("source", sort=False):
        sums = part.assign(kept=part["agreement"] * part["n"], given=part["agreement_original"] * part["n"])
        sums = sums.groupby("label")[["kept", "given", "n"]].sum()
        kept, given = (float((sums[column] / sums["n"]).mean()) for column in ("kept", "given"))
        if given > 0:
            text = (
                f"Real wafers that pass through {source}'s autoencoder are taken for their class in {kept:.0%} of "
                f"cases, and in {given:.0%} as they are: no sample of it can do better."
            )
            found.add("reconstruction", str(source), text, kept / given, n=int(sums["n"].sum()))


def _without_generators(found: Findings, evidence: Evidence, cells: dict[str, pd.DataFrame]) -> str:
    """The first sentence of a study without synthetic wafers; its figures become the last row."""
    others = [c for c in evidence.conditions if c.name in cells and c.name != evidence.baseline]
    other = next((c for c in others if c.source == "repeat"), others[0] if others else None)
    reference: pd.DataFrame | None = cells.get(evidence.baseline)
    pair: Pair | None = None
    if other and reference is not None:
        pair = pair_cells(cells[other.name], reference, METRIC)
    if pair is None:
        name, mine = next(iter(cells.items()))
        mean = float(np.mean(mine.groupby("fold")[METRIC].mean()))
        found.add("headline", name, "", mean, n=mine["fold"].nunique())
        return f"nothing is compared: {name} reaches a macro-F1 of {mean:.3f}"
    gain = pair.gain(evidence.confidence)
    numbers = (gain["difference"], gain["low"], gain["high"])
    found.add("headline", other.name, "", *numbers, gain["n_folds"])
    what = "repeating real wafers" if other.source == "repeat" else f"training on {other.name}"
    return f"no generator was tried: {what} {_adds(*numbers, f'over {evidence.baseline}')}"


def _adds(gain: float, low: float, high: float, over: str = "") -> str:
    """``adds 3.1 points (1.0 to 5.2)`` of a difference of macro-F1, and whether it may be chance."""
    interval = f"{points(low)} to {points(high)}" if not math.isnan(low) else "no interval"
    chance = ": may be chance" if low <= 0 <= high else ""
    return f"{'adds' if gain >= 0 else 'loses'} {points(abs(gain))} points {over}".rstrip() + f" ({interval}{chance})"


def points(fraction: float) -> str:
    """``3.1`` of 0.031."""
    return f"{fraction * 100:.1f}"
