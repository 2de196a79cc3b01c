"""The answer in sentences, computed from the tables."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from waferbench.base.tables import GRID_CELL
from waferbench.report.kit.words import known, listed, points, score
from waferbench.report.synthesis.study import HEADS, Study

REFERENCE = "real"
ENOUGH_FOLDS = 5
AGREEMENT_LIMIT = 0.6  # below this share, the judge does not see the class that was asked for


@dataclass(frozen=True)
class Summary:
    """sentences: three. cautions: reasons to hold back, plain words. tiles: (caption, number, note, tone)."""

    sentences: list[str]
    cautions: list[str]
    tiles: list[tuple[str, str, str, str]]
    backbone: str
    condition: str


def gain_text(row: pd.Series | None, confidence: float) -> str:
    """+0.8 points (95% interval −0.1 to +1.7)."""
    if row is None or not known(row["difference"]):
        return "no comparison"
    text = f"{points(row['difference'])} points"
    if known(row["low"]) and known(row["high"]):
        return f"{text} ({confidence:.0%} interval {points(row['low'])} to {points(row['high'])})"
    if known(row["wafer_low"]):
        over = f"{points(row['wafer_low'])} to {points(row['wafer_high'])}"
        return f"{text} (one fold; over its test wafers alone {confidence:.0%} {over})"
    return f"{text} (one fold: no interval)"


def summarise(study: Study) -> Summary:
    """The three sentences, the cautions and the numbers at the head of the page."""
    means = study.means(study.head)
    backbone, condition = means["mean"].idxmax()
    best = means.loc[(backbone, condition)]
    gains = {ref: study.gain(backbone, condition, ref) for ref in dict.fromkeys([REFERENCE, study.baseline])}
    reasons = cautions(study, gains.get(study.baseline), condition)
    sentences = [_what_was_run(study), _what_won(study, backbone, condition, best, gains), _trust(study, reasons)]
    tiles = [
        ("Best recipe", condition, f"with {study.short(backbone)}", ""),
        ("Its macro-F1", f"{best['mean']:.4f}", f"± {best['std']:.4f} over folds" if known(best["std"]) else "", ""),
    ]
    for ref, row in gains.items():
        if row is not None and known(row["difference"]):
            tiles.append((f"Gain against {ref}", points(row["difference"]), _interval(row), _tone(row)))
    leaky = study.leaky or (study.pooled and bool(study.sources))
    tiles.append(("Folds run", str(len(study.folds_run)), _seen(study), "bad" if leaky else ""))
    return Summary(sentences, reasons, tiles, backbone, condition)


def _seen(study: Study) -> str:
    if not study.sources:
        return "no generator in this study"
    return "generators saw test wafers" if study.pooled else "generators saw training wafers only"


def _interval(row: pd.Series) -> str:
    if known(row["low"]):
        return f"points, {points(row['low'])} to {points(row['high'])}"
    if known(row["wafer_low"]):
        return f"points, one fold: {points(row['wafer_low'])} to {points(row['wafer_high'])} over wafers"
    return "points, one fold"


def _tone(row: pd.Series) -> str:
    if not known(row["low"]):
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
    tested = "added wafers as well as real ones" if study.leaky else "no synthetic sample"
    return (
        f"This study trained {len(study.backbones)} backbone{s} on {len(study.conditions)} kinds of training data "
        f"({listed(study.conditions)}) in {where} of {_wafers(study)} in {len(study.names)} classes{_seeds(study)}: "
        f"{count} classifiers, tested on {tested}."
    )


def _what_won(study: Study, backbone: str, condition: str, best: pd.Series, gains: dict) -> str:
    head = HEADS.get(study.head, study.head)
    text = (
        f"Best was {condition} with {study.short(backbone)}: macro-F1 {score(best['mean'], best['std'])} ({head} head)"
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
        f"{text}; the best with synthetic data, {rival[1]} with {study.short(rival[0])}, reached {means[rival]:.4f}"
        + (f", {gain_text(row, study.confidence)} against {study.baseline}." if row is not None else ".")
    )


def cautions(study: Study, gain: pd.Series | None, condition: str) -> list[str]:
    """Reasons not to lean on the result, the gravest first."""
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
    folds = len(study.folds_run)
    if folds == 1:
        found.append("one fold was run: intervals are over its test wafers and know nothing of another training")
    elif folds < ENOUGH_FOLDS:
        found.append(f"{folds} folds were run, fewer than {ENOUGH_FOLDS}, so that intervals are wide")
    if gain is not None and known(gain["low"]) and gain["low"] <= 0 <= gain["high"]:
        found.append(f"the gain of {condition} against {study.baseline} cannot be told from chance")
    for source, told in diverged(study).items():
        found.append(f"the training of {source} diverged ({told}), so its last healthy weights were used")
    suspects = int(study.label_noise["is_issue"].fillna(False).astype(bool).sum())
    if suspects:
        found.append(f"the labels of {suspects:,} wafers look wrong, which no score allows for")
    weak = weak_classes(study)
    if weak:
        found.append(f"a classifier trained on real wafers sees another class in most of the samples of {listed(weak)}")
    cells = len(study.means(study.head))
    if cells > 1:
        found.append(f"the winner was picked among {cells} on the same test wafers, which flatters it a little")
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


def weak_classes(study: Study) -> list[str]:
    """``source class`` where the judge confirms fewer than `AGREEMENT_LIMIT` of the accepted samples."""
    table = accepted(study)
    if not len(table):
        return []
    share = (table["y_judge"] == table["label"]).groupby([table["source"], table["label"]]).mean()
    return [f"{source} {study.names.get(label, label)}" for (source, label), v in share.items() if v < AGREEMENT_LIMIT]


def accepted(study: Study) -> pd.DataFrame:
    """The judged samples that are in the pool (all where nothing says which are)."""
    table = study.agreement
    if "in_pool" in table and table["in_pool"].notna().all():
        return table[table["in_pool"].astype(bool)]
    pool = study.shape_filter
    pool = pool[pool["in_pool"].fillna(False).astype(bool)] if len(pool) else pool
    if not len(pool):
        return table
    keys = ["source", "label", "index"] + ([] if (pool["fold"] == -1).all() else ["fold"])
    return table.merge(pool[keys].drop_duplicates(), on=keys)


def _trust(study: Study, reasons: list[str]) -> str:
    grave = reasons[: max(1, len(reasons) - 2)][:3]
    if study.simulated:
        verdict = "Read it as a rehearsal, not as a result"
    elif study.leaky or (study.pooled and study.sources):
        verdict = "Trust it for comparing with the published study, not for a decision"
    elif len(study.folds_run) < ENOUGH_FOLDS or any("chance" in reason for reason in reasons):
        verdict = "Trust it as a hint"
    else:
        return (
            f"Trust it as far as {len(study.folds_run)} folds of one data set go: {_seen(study)}, "
            "and the intervals allow for folds that share wafers."
        )
    return f"{verdict}: {'; '.join(grave)}."
