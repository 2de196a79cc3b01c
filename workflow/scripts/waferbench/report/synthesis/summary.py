"""The answer in sentences, computed from the tables."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from waferbench.base.tables import GRID_CELL
from waferbench.report.kit.words import known, listed, points, reach, score
from waferbench.report.synthesis.judged import weak_classes
from waferbench.report.synthesis.study import HEADS, Study, is_leaky
from waferbench.report.synthesis.worth import means_of

ENOUGH = 5  # folds or replicates
MINUS = re.compile(r"(?<![\w-])-(?=\d)")  # of a number


@dataclass(frozen=True)
class Summary:
    """sentences: the finding that leads, if there are findings, and three more. findings: the others, in sentences.

    cautions: reasons to hold back, plain words. alarms: what is unfair between conditions, sentences. tiles:
    (caption, number, note, tone).
    """

    sentences: list[str]
    findings: list[str]
    alarms: list[str]
    cautions: list[str]
    tiles: list[tuple[str, str, str, str]]
    backbone: str
    condition: str


def gain_text(row: pd.Series | None, confidence: float) -> str:
    """+0.8 points (95% interval −0.1 to +1.7)."""
    if row is None or not known(row["difference"]):
        return "no comparison"
    text = f"{points(row['difference'])} points"
    if interval := reach(row["low"], row["high"], "points"):
        return f"{text} ({confidence:.0%} interval {interval})"
    if known(row["low"]):
        return f"{text} (no interval: nothing varied)"
    if over := reach(row["wafer_low"], row["wafer_high"], "points"):
        return f"{text} (one fold; over its test wafers alone {confidence:.0%} {over})"
    return f"{text} (one fold: no interval)"


def summarise(study: Study) -> Summary:
    """The sentences, the cautions and the numbers at the head of the page."""
    means = study.means(study.head)
    backbone, condition = study.ours(means)["mean"].idxmax()
    best = means.loc[(backbone, condition)]
    gains = {ref: study.gain(backbone, condition, ref) for ref in study.references}
    alarms = unequal(study)
    reasons = cautions(study, gains.get(study.baseline), condition, bool(alarms))
    first, *others = [MINUS.sub("−", text) for text in study.findings["text"]] or [""]
    sentences = [_what_was_run(study), _what_won(study, backbone, condition, best, gains), _trust(study, reasons)]
    sentences = [*([f"{first}{_found_under(study)}"] if first else []), *sentences]
    deviation = f"± {best['std']:.4f} over {study.unit}s" if known(best["std"]) else ""
    tiles = [
        ("Highest on test wafers", condition, f"with {study.short(backbone)}", ""),
        ("Its macro-F1", f"{best['mean']:.4f}", deviation, ""),
    ]
    for ref, row in gains.items():
        if row is not None and known(row["difference"]):
            tiles.append((f"Gain against {ref}", points(row["difference"]), _interval(row), _tone(row)))
    leaky = study.leaky or (study.pooled and bool(study.sources))
    tiles.append((f"{study.unit.title()}s run", str(len(study.folds_run)), _seen(study), "bad" if leaky else ""))
    return Summary(sentences, others, alarms, reasons, tiles, backbone, condition)


def _found_under(study: Study) -> str:
    """Where findings are of another protocol than the page's first one: a leaky protocol has none of its own."""
    if not study.leaky:
        return ""
    other = next((name for name in study.settings.folds.protocols if not is_leaky(name)), "")
    return f" (Under {other}; the scores below are of {study.protocol}, which is leaky.)" if other else ""


def unequal(study: Study) -> list[str]:
    """What conditions do not have in common that they should: optimiser steps, and wafers added. One sentence each."""
    found, settings = [], study.settings
    taken = means_of(study.scores, ("steps",), "condition")["steps"].reindex(study.conditions).dropna()
    if settings.classifier.epochs > 0:
        text = "Epochs as published: conditions that add wafers take more optimiser steps, so that a gain may be theirs"
        if len(taken) and taken.min() < taken.max():
            text += f" ({taken.idxmin()} {taken.min():,.0f}, {taken.idxmax()} {taken.max():,.0f})"
        found.append(f"{text}.")
    if not settings.budget.equal and any(map(study.adds, study.conditions)):
        mine = study.scores[[study.adds(c) for c in study.scores["condition"]]]
        added = means_of(mine, ("n_added",), "condition")["n_added"].dropna()
        text = "Budgets as published: conditions add unequal numbers of wafers, so that a gain may be the number’s"
        if len(added) and added.min() < added.max():
            text += f" ({added.idxmin()} {added.min():,.0f}, {added.idxmax()} {added.max():,.0f})"
        found.append(f"{text}.")
    return found


def _seen(study: Study) -> str:
    if not study.sources:
        return "no generator in this study"
    return "generators saw test wafers" if study.pooled else "generators saw training wafers only"


def _interval(row: pd.Series) -> str:
    if interval := reach(row["low"], row["high"], "points"):
        return f"points, {interval}"
    if over := reach(row["wafer_low"], row["wafer_high"], "points"):
        return f"points, one fold: {over} over wafers"
    return "points, no interval"


def _tone(row: pd.Series) -> str:
    if not reach(row["low"], row["high"], "points"):
        return ""
    return "good" if row["low"] > 0 else "bad" if row["high"] < 0 else ""


def _wafers(study: Study) -> str:
    kind = "simulated" if study.simulated else "real"
    mine = study.selected[study.selected["label"].isin(list(study.names))]
    return f"{len(mine):,} {kind} wafers"


def _seeds(study: Study) -> str:
    return f", each with {study.n_seeds} random seeds" if study.n_seeds > 1 else ""


def _what_was_run(study: Study) -> str:
    n_splits = study.folds["fold"].nunique() or len(study.folds_run)
    count = len(study.scores.drop_duplicates([*GRID_CELL]))
    s = "s" if len(study.backbones) > 1 else ""
    where = f"{len(study.folds_run)} of {n_splits} cross-validation folds" if n_splits > 1 else "one split"
    if study.replicated:
        where = f"{len(study.folds_run)} replicates, each with training and test wafers of its own,"
    tested = "added wafers as well as real ones" if study.leaky else "no synthetic sample"
    return (
        f"This study trained {len(study.backbones)} backbone{s} on {len(study.conditions)} kinds of training data "
        f"({listed(study.conditions)}) in {where} of {_wafers(study)} in {len(study.names)} classes{_seeds(study)}: "
        f"{count} classifiers, tested on {tested}."
    )


def _what_won(study: Study, backbone: str, condition: str, best: pd.Series, gains: dict) -> str:
    head = HEADS.get(study.head, study.head)
    aside = " but for the oracle" if any(study.source_of(c) in study.oracles for c in study.conditions) else ""
    text = (
        f"Highest on test wafers{aside} was {condition} with {study.short(backbone)}: macro-F1 "
        f"{score(best['mean'], best['std'])} ({head} head)"
    )
    told = [
        f"{gain_text(row, study.confidence)} against {ref}"
        for ref, row in gains.items()
        if ref != condition and row is not None
    ]
    text += f", {listed(told)}" if told else ""
    if study.synthetic(condition) or not any(map(study.synthetic, study.conditions)):
        return text + "."
    means = study.means(study.head)["mean"]
    rival = means[[study.synthetic(c) for _, c in means.index]].idxmax()
    row = study.gain(*rival, study.baseline)
    return (
        f"{text}; the highest with synthetic data, {rival[1]} with {study.short(rival[0])}, reached {means[rival]:.4f}"
        + (f", {gain_text(row, study.confidence)} against {study.baseline}." if row is not None else ".")
    )


def cautions(study: Study, gain: pd.Series | None, condition: str, unfair: bool = False) -> list[str]:
    """Reasons not to lean on the result, the gravest first.

    Args:
        gain: of the highest condition over the baseline. unfair: steps or numbers of added wafers differ.
    """
    found = []
    if study.simulated:
        found.append("the wafers are simulated, so the numbers say nothing of a real line")
    if study.leaky:
        found.append(
            f"the protocol {study.protocol} is leaky: wafers were added before the split, so that copies and samples "
            "of test wafers are trained on"
        )
    elif study.pooled and study.sources:
        found.append("the generators were trained on all wafers, test wafers among them, so synthesis is flattered")
    if unfair:
        found.append("conditions differ in optimiser steps or in the number of added wafers, as published")
    folds, unit = len(study.folds_run), study.unit
    if folds == 1:
        found.append(f"one {unit} was run: intervals are over its test wafers and know nothing of another training")
    elif folds < ENOUGH:
        found.append(f"{folds} {unit}s were run, fewer than {ENOUGH}, so that intervals are wide")
    if gain is not None and known(gain["low"]) and gain["low"] <= 0 <= gain["high"]:
        found.append(f"the gain of {condition} against {study.baseline} cannot be told from chance")
    if gain is not None and known(gain["power_effect"]):
        least = points(gain["power_effect"]).lstrip("+")
        found.append(f"a true gain over {study.baseline} below {least} points is missed more often than once in five")
    for source, told in diverged(study).items():
        found.append(f"the training of {source} diverged ({told}), so its last healthy weights were used")
    suspects = int(study.label_noise["is_issue"].fillna(False).astype(bool).sum())
    if suspects and not study.simulated:  # of which every label is right
        found.append(f"the labels of {suspects:,} wafers look wrong, which no score allows for")
    weak = weak_classes(study)
    if weak:
        found.append(
            "a classifier trained on real wafers sees the class asked for far less often than in real wafers in the "
            f"samples of {listed(weak)}"
        )
    cells = len(study.means(study.head))
    if cells > 1:
        found.append(f"the highest of {cells} scores on the same test wafers is flattered a little by that choice")
    if study.scores["seed"].nunique() == 1:
        found.append("one random seed was run")
    return found


def diverged(study: Study) -> dict[str, str]:
    """Source -> which of its GAN trainings diverged, with the first reason; only sources where one did."""
    found: dict[str, list[tuple[str, str]]] = {}
    for _, scope, source, facts in study.trainings:
        parts = {"stage 1": facts["stage1"], **{study.names.get(k, k): v for k, v in facts["labels"].items()}}
        for part, fact in parts.items():
            if not fact["converged"]:
                found.setdefault(source, []).append((f"{part}, {scope}", fact["reason"]))
    return {source: f"{listed([part for part, _ in bad])}: {bad[0][1]}" for source, bad in found.items()}


def _trust(study: Study, reasons: list[str]) -> str:
    grave = reasons[: max(1, len(reasons) - 2)][:3]
    if study.simulated:
        verdict = "Read it as a rehearsal, not as a result"
    elif study.leaky or (study.pooled and study.sources):
        verdict = "Trust it for comparing with the published study, not for a decision"
    elif len(study.folds_run) < ENOUGH or any("chance" in reason for reason in reasons):
        verdict = "Trust it as a hint"
    else:
        return (
            f"Trust it as far as {len(study.folds_run)} {study.unit}s of one data set go: {_seen(study)}, "
            "and the intervals allow for folds that share wafers."
        )
    return f"{verdict}: {'; '.join(grave)}."
