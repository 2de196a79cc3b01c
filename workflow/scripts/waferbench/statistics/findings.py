"""What a study says, finding by finding, in an order and in sentences: the first one is the study's answer.

Every finding is of one protocol and head, on the mean over backbones; tables by backbone hold the rest.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from waferbench.base.tables import RUN, TABLES
from waferbench.statistics.ceiling import UNDETERMINED, UNLIKE, alone, ceiling_of, repeated, share_of_ceiling
from waferbench.statistics.comparisons import SEED, Pair, pair_cells, power_effect
from waferbench.statistics.gains import METRIC, Condition, steps
from waferbench.statistics.labels import labels_of, shares, usual
from waferbench.statistics.ties import tied

HEADS = ("ecoc_svm", "softmax")  # the first that a study has
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


@dataclass(frozen=True)
class Gain:
    """What a condition adds to another one: macro-F1, a fraction, with its interval.

    alike: whether both augment, or neither.
    """

    condition: str
    reference: str
    value: float
    low: float
    high: float
    pair: Pair
    alike: bool = True

    @property
    def numbers(self) -> tuple[float, float, float, int]:
        """As `Findings.add` takes them."""
        return self.value, self.low, self.high, len(self.pair.values)

    def adds(self, over: bool = True) -> str:
        """``adds 3.1 points over oversample (1.0 to 5.2)``, and whether it may be chance."""
        what = f" {'over' if self.value >= 0 else 'against'} {self.reference}" if over else ""
        if self.low == self.value == self.high == 0:
            return f"adds nothing{what} (the same score in every fold)"
        interval = f"{points(self.low)} to {points(self.high)}" if not math.isnan(self.low) else "no interval"
        chance = ": may be chance" if self.low <= 0 <= self.high else ""
        unlike = "" if self.alike else "; they are augmented differently as well"
        verb = "adds" if self.value >= 0 else "loses"
        return f"{verb} {points(abs(self.value))} points{what} ({interval}{chance}{unlike})"


@dataclass(frozen=True)
class Study:
    """cells: condition -> its scores, a row a seed and fold. shares: condition -> its row of the table ceiling."""

    evidence: Evidence
    cells: Mapping[str, pd.DataFrame]
    shares: Mapping[str, pd.Series]

    def gain(self, condition: str, reference: str) -> Gain | None:
        """None where the two were not scored in the same folds, or are the same."""
        if condition == reference or not {condition, reference} <= self.cells.keys():
            return None
        pair = pair_cells(self.cells[condition], self.cells[reference], METRIC)
        if pair is None:
            return None
        found = pair.gain(self.evidence.confidence)
        augments = {c.name: c.augment for c in self.evidence.conditions}
        alike = augments[condition] == augments[reference]
        return Gain(condition, reference, found["difference"], found["low"], found["high"], pair, alike)

    def over_real(self, one: Condition) -> Gain | None:
        """Over real wafers alone that are augmented alike, or else over the baseline."""
        return self.gain(one.name, alone(self.evidence.conditions, one) or self.evidence.baseline)

    def over_repeats(self, one: Condition) -> Gain | None:
        """Over real wafers repeated to the same counts: what rebalancing does not bring."""
        return self.gain(one.name, repeated(self.evidence.conditions, one))


def find(evidence: Evidence) -> pd.DataFrame:
    """The table findings, the headline first.

    Returns:
        finding: headline, ceiling, best_generator, share, agreement, judging, power, texture, reconstruction, of
        which those are left out that a study has nothing for; subject: a condition or source; value, low, high:
        fractions (of texture the AUC), of the first figure in the text, NaN where there is none; n: folds or
        replicates, of agreement and reconstruction the judge's calls; text: a sentence, differences in points of
        macro-F1.
    """
    found = Findings()
    if not len(evidence.scores):
        text = "Every protocol of this study tests each condition on other wafers, so that nothing is compared."
        found.add("headline", "", text)
        return pd.DataFrame(found.rows, columns=TABLES["findings"])
    scores, validation = (_over_backbones(table) for table in (evidence.scores, evidence.validation))
    table = share_of_ceiling(scores, evidence.conditions, evidence.baseline, evidence.oracles, evidence.confidence)
    shares = {str(row["condition"]): row for _, row in table.iterrows()}
    study = Study(evidence, dict(list(scores.groupby("condition"))), shares)
    made = _generators(study)
    best, oracle = _best_generator(made, validation), None
    mine = study.over_repeats(best) or study.over_real(best) if best else None
    wanted = ceiling_of(evidence.conditions, best, evidence.oracles) if best else ""
    for one in evidence.conditions:  # the one that the best generator is held against, or else the first
        if one.source in evidence.oracles and study.over_real(one) and (oracle is None or one.name == wanted):
            oracle = one
    ceiling = study.over_real(oracle) if oracle else None
    parts = []
    if oracle and ceiling:
        parts.append(f"perfect synthesis {ceiling.adds()}")
        _ceiling(found, study, oracle)
    if best and mine:
        _best(found, study, best, mine)
        share = _share(found, study, best, mine) if ceiling else ""
        parts.append(f"the best generator ({best.name}{_not_told_from(best, made, validation)}) {share}{mine.adds()}")
        parts.append(_labels(found, evidence, best.source))
    first, pair = ceiling or mine, mine or ceiling
    if pair is None:
        pair = _without_generators(study)
        first = pair
        parts.append(_alone(study) if pair is None else _told(study, pair))
    _judging(found, study)
    if pair:
        _power(found, evidence, pair)
    if best:
        _texture(found, evidence, best.name)
    _reconstruction(found, evidence)
    parts += _unequal(evidence)
    text, headline = "; ".join(filter(None, parts)), Findings()
    text = f"{text[:1].upper()}{text[1:]}."
    if first:
        headline.add("headline", first.condition, text, *first.numbers)
    else:
        name, cells = next(iter(study.cells.items()))
        headline.add("headline", name, text, _mean(cells), n=cells["fold"].nunique())
    return pd.DataFrame([*headline.rows, *found.rows], columns=TABLES["findings"])


def _over_backbones(scores: pd.DataFrame) -> pd.DataFrame:
    """Of the first head the mean over backbones, a row a seed, fold and condition."""
    head = next((name for name in HEADS if (scores["head"] == name).any()), HEADS[0])
    keys = [*RUN, "fold", "condition", "head"]
    mine = scores[scores["head"] == head]
    return mine.groupby(keys, as_index=False)[[METRIC]].mean().assign(backbone="")


def _best_generator(made: Sequence[Condition], validation: pd.DataFrame) -> Condition | None:
    """The generator of the highest mean macro-F1 on validation wafers; the first of equal ones."""
    means = validation.groupby("condition")[METRIC].mean()
    return max(made, key=lambda condition: means.get(condition.name, -math.inf), default=None)


def _generators(study: Study) -> list[Condition]:
    """The synthesizers' conditions that are compared with something.

    Those that keep what a judge confirms stand for no generator, unless there is no other. An oracle is none.
    """
    evidence = study.evidence
    made = [c for c in evidence.conditions if c.source not in ("none", "repeat", *evidence.oracles)]
    made = [c for c in made if study.over_repeats(c) or study.over_real(c)]
    return [c for c in made if not c.keep_if_judged] or made


def _not_told_from(best: Condition, made: Sequence[Condition], validation: pd.DataFrame) -> str:
    """The generators that tie with the best one on validation wafers, for the headline.

    One fold, in which nothing is known of the error, tells none apart.
    """
    wide = validation.pivot_table(index=[*SEED, "fold"], columns="condition", values=METRIC)
    alike = []
    for other in made:
        if other != best and {best.name, other.name} <= set(wide):
            leads = (wide[best.name] - wide[other.name]).dropna().to_numpy()
            if len(leads) < 2 or tied(leads):
                alike.append(other.name)
    return f"; on validation wafers not told from {', '.join(alike)}" if alike else ""


def _ceiling(found: Findings, study: Study, oracle: Condition) -> None:
    """What of the ceiling, which the headline tells, new wafers bring and no rebalancing does."""
    gain = study.over_repeats(oracle)
    if gain:
        what = f"{oracle.name}, further real wafers in the place of synthetic ones"
        found.add(
            "ceiling", oracle.name, f"Beyond rebalancing, perfect synthesis ({what}) {gain.adds()}.", *gain.numbers
        )


def _best(found: Findings, study: Study, best: Condition, mine: Gain) -> None:
    """Beside the headline, which tells the gain over repeats: the whole gain, and what repeats bring of it."""
    over_real, reference = study.over_real(best), repeated(study.evidence.conditions, best)
    if mine.reference != reference:
        text = f"{best.name}, the best generator on validation wafers, {mine.adds()}; no condition repeats real wafers "
        text += "to the same counts, so that all of it may be rebalancing."
        found.add("best_generator", best.name, text, *mine.numbers)
    elif over_real:
        text = f"{best.name}, the best generator on validation wafers, {over_real.adds()}"
        repeats = study.gain(reference, over_real.reference)
        if repeats:
            text += f"; {reference}, which repeats real wafers to the same counts, {repeats.adds()}"
        found.add("best_generator", best.name, f"{text}.", *over_real.numbers)
    else:
        found.add("best_generator", best.name, f"{best.name} is the best generator on validation wafers.")


def _share(found: Findings, study: Study, best: Condition, mine: Gain) -> str:
    """What of the ceiling the best generator reaches, for the headline; "" where that is not determined."""
    row, count = study.shares.get(best.name), len(mine.pair.values)
    if row is None or math.isnan(row["share"]):
        why = UNLIKE if row is None else row["verdict"]
        if why == UNDETERMINED:
            why = "the ceiling may be no gain at all"
        text = f"What share of the ceiling {best.name} reaches is not determined: {why}."
        found.add("share", best.name, text, n=count)
        return ""
    text = f"Of the ceiling {best.name} reaches {_reaches(row)}"
    other = study.shares.get(repeated(study.evidence.conditions, best))
    if other is not None and not math.isnan(other["share"]):
        text += f", and {other['condition']} without a synthetic wafer {_reaches(other)}"
    found.add("share", best.name, f"{text}.", *(float(row[name]) for name in ("share", "low", "high")), n=count)
    return f"reaches {_reaches(row, ' of that')} and "


def _reaches(row: pd.Series, of: str = "") -> str:
    """``40% (33% to 46%)``, none, or an unknown share, where it cannot be told from none."""
    share = _percent(row["share"]) if row["low"] > 0 else "none" if row["high"] < 0 else "an unknown share"
    return f"{share}{of} ({_percent(row['low'])} to {_percent(row['high'])})"


def _labels(found: Findings, evidence: Evidence, source: str) -> str:
    """Which share of a source's labels is wrong, for the headline; "" where no judge called its samples."""
    called = shares(evidence.agreement)
    mine = labels_of(called, source)
    if mine is None:
        return ""
    text = (
        f"A classifier of real wafers takes {mine.carried:.0%} of {source}'s samples for the class they were made for"
    )
    if not math.isnan(mine.floor):
        text += f", and {mine.floor:.0%} of held-out real wafers for theirs"
    most = "at most" if math.isnan(mine.floor) else "about"  # without a floor all of the judge's own errors are counted
    oracle = usual(called, evidence.oracles)
    alike = f" ({_percent(oracle)} of further real wafers, counted alike)" if oracle else ""
    if mine.wrong < 0.005 or mine.wrong <= oracle:
        what = f"its labels are as right as real ones{alike and f': {_percent(mine.wrong)} wrong{alike}'}"
    else:
        what = f"{most} {_percent(mine.wrong)} of its labels are wrong{alike}, above all of {mine.worst}"
    text += f": {what}"
    if mine.worst:
        text += f" (furthest short is {mine.worst}: {mine.share:.0%} against {mine.worst_floor:.0%})"
    found.add("agreement", source, f"{text}.", mine.wrong, n=mine.n)
    return what


def _judging(found: Findings, study: Study) -> None:
    for step, condition, reference in steps(study.evidence.conditions):
        gain = study.gain(condition, reference) if step == "judging" else None
        if gain:
            text = f"Keeping only those samples of {reference} whose class a judge confirms {gain.adds(over=False)}."
            found.add("judging", condition, text, *gain.numbers)


def _power(found: Findings, evidence: Evidence, gain: Gain) -> None:
    """Of the comparison that the headline tells."""
    pair, least = gain.pair, power_effect(gain.pair.differences, gain.pair.ratio, evidence.confidence)
    subject, count, between = gain.condition, len(pair.values), f"between {gain.condition} and {gain.reference}"
    if not math.isnan(least):
        size = "less than 0.1" if least < 0.0005 else points(least)
        text = (
            f"This study finds a true difference of {size} points {between} four times in five, and a smaller one less "
            "often."
        )
        found.add("power", subject, text, least, n=count)
    elif count == 1:
        text = "One fold was run, so that no difference can be told from chance: add folds to folds.run."
        found.add("power", subject, text, n=count)
    else:
        text = (
            f"The difference {between} is the same in every fold, which does not tell what this study could have seen."
        )
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
            text = f"Real wafers that pass through {source}'s autoencoder are taken for their class in {kept:.0%} of "
            lost = f"cases, and in {given:.0%} as they are: no sample of it can do better."
            text += lost if given - kept >= 0.005 else "cases, as often as before."
            found.add("reconstruction", str(source), text, kept / given, n=int(sums["n"].sum()))


def _unequal(evidence: Evidence) -> list[str]:
    """What conditions differ in beside their wafers, for the headline."""
    told, runs = [], evidence.scores.groupby([*RUN, "fold", "backbone"])
    if (runs["steps"].nunique() > 1).any():
        steps = evidence.scores["steps"]
        told.append(
            f"conditions differ in optimiser steps ({steps.min()} to {steps.max()}): a gain may be that of more steps"
        )
    adding = evidence.scores[evidence.scores["n_added"] > 0]
    if (adding.groupby([*RUN, "fold"])["n_added"].nunique() > 1).any():
        low, high = adding["n_added"].min(), adding["n_added"].max()
        told.append(f"conditions add different numbers of wafers ({low} to {high}): a gain may be that of more wafers")
    return told


def _without_generators(study: Study) -> Gain | None:
    """What a study without synthetic wafers compares: repeats with the baseline, or else the first other condition."""
    baseline = study.evidence.baseline
    others = [c for c in study.evidence.conditions if study.gain(c.name, baseline)]
    other = next((c for c in others if c.source == "repeat"), others[0] if others else None)
    return study.gain(other.name, baseline) if other else None


def _told(study: Study, gain: Gain) -> str:
    source = next(c.source for c in study.evidence.conditions if c.name == gain.condition)
    what = "repeating real wafers" if source == "repeat" else f"training on {gain.condition}"
    return f"no generator was tried: {what} {gain.adds()}"


def _alone(study: Study) -> str:
    name, cells = next(iter(study.cells.items()))
    return f"nothing is compared: {name} reaches a macro-F1 of {_mean(cells):.3f}"


def _mean(cells: pd.DataFrame) -> float:
    return float(np.mean(cells.groupby("fold")[METRIC].mean()))


def _percent(fraction: float) -> str:
    """``31%`` of 0.31."""
    return f"{round(100 * fraction)}%"


def points(fraction: float) -> str:
    """``3.1`` of 0.031."""
    return f"{round(fraction * 100, 1) + 0.0:.1f}"  # + 0.0: of a negative zero no sign is left
