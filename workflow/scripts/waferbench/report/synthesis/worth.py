"""What each condition is worth: what it adds, its gains, its share of the ceiling, and what could have been seen."""

from __future__ import annotations

import pandas as pd

from waferbench.report.kit.tables import BLANK, Cell, Table, gap, name, number
from waferbench.report.kit.words import known, points, reach
from waferbench.report.synthesis.study import HEADS, Study

COUNTS = ("steps", "n_train_real", "n_added")


def means_of(table: pd.DataFrame, columns: tuple[str, ...], by: str) -> pd.DataFrame:
    """Means of columns by another one; NaN where a table lacks them."""
    numbers = table[list(columns)].apply(pd.to_numeric, errors="coerce")
    return numbers.groupby(table[by]).mean()


def worth(study: Study) -> Table | None:
    """A row a backbone and condition that adds wafers: steps, added, gains, share of the ceiling, least effect seen."""
    t = study.ceiling[study.ceiling["head"] == study.head]
    if not len(t):
        return None
    counts, rows = means_of(study.scores, COUNTS, "condition"), []
    reference = next((r for r in t["reference"].fillna("") if r), "")
    for backbone in study.backbones:
        mine = t[t["backbone"] == backbone].drop_duplicates("condition").set_index("condition")
        for condition in [c for c in study.conditions if c in mine.index]:
            r = mine.loc[condition]
            row = [
                name(condition),
                Cell(study.short(backbone)),
                number(counts.loc[condition, "steps"], ",.0f"),
                number(counts.loc[condition, "n_added"], ",.0f"),
                gap(r["gain"], r["gain_low"], r["gain_high"], least(study, backbone, condition, study.baseline)),
            ]
            if reference:
                sees = seen(r["over_power_effect"])
                row.append(gap(r["over_reference"], r["over_low"], r["over_high"], sees))
            rows.append([*row, _share(r)])
    head = ["Condition", "Backbone", "Steps", "Wafers added", f"Gain over {study.baseline}"]
    return Table([*head, *([f"Gain over {reference}"] if reference else []), "Share of the ceiling"], rows)


def _share(row: pd.Series) -> Cell:
    """The share with its interval, or why there is none."""
    if known(row["share"]):
        return Cell(f"{row['share']:.0%}", float(row["share"]), reach(row["low"], row["high"], ".0%"))
    verdict = str(row["verdict"] or "")
    ceiling = reach(row["ceiling_low"], row["ceiling_high"], "points")
    note = f"the ceiling’s own gain: {points(row['ceiling'])} ({ceiling})" if known(row["ceiling"]) and ceiling else ""
    return Cell(verdict, "", note if verdict == "not determined" else "", "muted")


def least(study: Study, backbone: str, condition: str, reference: str, head: str | None = None) -> str:
    """The smallest true difference that a comparison finds four times in five, as small print; "" where unknown."""
    row = study.gain(backbone, condition, reference, head)
    return "" if row is None else seen(row["power_effect"])


def seen(effect: float | None) -> str:
    """The same of a number: ``sees 2.1``."""
    return f"sees {points(effect).lstrip('+')}" if known(effect) else ""


def training(study: Study) -> Table | None:
    """What each condition was trained on: source, real wafers, wafers added, optimiser steps; None where unknown."""
    counts = means_of(study.scores, COUNTS, "condition")
    if counts["steps"].isna().all():
        return None
    kinds = {"none": "nothing", "repeat": "real wafers again"}
    rows = []
    for condition in study.conditions:
        source, c = study.source_of(condition), counts.loc[condition]
        what = "further real wafers" if source in study.oracles else kinds.get(source, f"samples of {source}")
        defined = study.settings.define.conditions.get(condition)
        note = "those that the judge confirms" if defined is not None and defined.keep_if_judged else ""
        numbers = [number(c[column], ",.0f") for column in ("n_train_real", "n_added", "steps")]
        rows.append([name(condition), Cell(what, note=note), *numbers])
    return Table(["Condition", "Adds", "Real wafers", "Wafers added", "Optimiser steps"], rows)


def budget(study: Study) -> Table | None:
    """Per class, mean over folds: real training wafers, wafers to be added, and what each source has."""
    t = study.budget
    if not len(t):
        return None
    t = t.assign(**{column: t[column].astype(float) for column in ("real", "wanted", "available")})
    plan = t.groupby("label")[["real", "wanted"]].mean()
    has = t.pivot_table(index="label", columns="source", values="available", aggfunc="min")
    sources = [s for s in dict.fromkeys(t["source"]) if s in has]
    rows = []
    for label in [label for label in study.names if label in plan.index]:
        wanted = plan.loc[label, "wanted"]
        cells = [number(has.loc[label, s], ",.0f", tone="bad" if has.loc[label, s] < wanted else "") for s in sources]
        rows.append([name(study.name_of(label)), *(number(plan.loc[label, c], ",.0f") for c in plan.columns), *cells])
    return Table(["Class", "Real", "To be added", *(f"{s} has" for s in sources)], rows)


def pooled(study: Study) -> Table | None:
    """Scores with what each of their intervals holds: over folds, over test wafers, of all folds' calls together."""
    t = study.intervals
    t = t[t["reference"].fillna("") == ""] if len(t) else t
    if not len(t):
        return None
    t = t.drop_duplicates(["backbone", "condition", "head"]).set_index(["backbone", "condition", "head"])
    spreads = study.scores.assign(spread=pd.to_numeric(study.scores["code_spread"], errors="coerce"))
    books = spreads.groupby(["backbone", "condition", "head"])["spread"].mean()
    several = bool((books.fillna(0) > 0).any())
    rows = []
    for head in study.heads:
        means = study.means(head)
        for backbone in study.backbones:
            for condition in [c for c in study.conditions if (backbone, c, head) in t.index]:
                r = t.loc[(backbone, condition, head)]
                m = means.loc[(backbone, condition)]
                row = [
                    *(name(condition), Cell(study.short(backbone)), Cell(HEADS.get(head, head))),
                    number(m["mean"], ".4f", f"± {m['std']:.4f}" if known(m["std"]) else ""),
                    _interval(r["low"], r["high"]),
                    number(r["pooled"], ".4f", reach(r["pooled_low"], r["pooled_high"], ".3f")),
                    number(r["accuracy"], ".4f", reach(r["accuracy_low"], r["accuracy_high"], ".3f")),
                    number(r["n_wafers"], ",.0f"),
                ]
                rows.append([*row, number(books.get((backbone, condition, head)), ".4f")] if several else row)
    head = ["Condition", "Backbone", "Head", f"Mean over {study.unit}s", "its interval over test wafers"]
    head += ["All calls pooled", "Accuracy, pooled", "Test wafers", *(["Between code books"] if several else [])]
    return Table(head, rows) if rows else None


def _interval(low: float, high: float) -> Cell:
    text = reach(low, high, ".3f")
    return Cell(text, float(low)) if text else BLANK


def code_books(study: Study) -> str:
    """How far the code books of the ECOC-SVM differ, a sentence; "" where there is one."""
    count = study.settings.svm.code_seeds
    spreads = pd.to_numeric(study.scores.loc[study.scores["head"] == "ecoc_svm", "code_spread"], errors="coerce")
    if count < 2 or not known(spreads.mean()):
        return ""
    return (
        f"The SVM averages {count} code books; each by itself, their macro-F1 differ by {points(spreads.mean())[1:]} "
        "points (standard deviation, mean over classifiers)."
    )


def mixed(study: Study) -> Table | None:
    """Effects of conditions on backbones and folds like those run; None where no model was fitted."""
    t = study.mixed_model
    t = t[t["effect"].notna()] if len(t) else t
    rows = []
    for r in t.itertuples():
        spreads = [number(100 * v if known(v) else None, ".1f") for v in (r.std_backbone, r.std_fold, r.std_rest)]
        effect = gap(r.effect, r.low, r.high)
        rows.append([name(r.condition), Cell(HEADS.get(r.head, r.head)), effect, number(r.p_value, ".3f"), *spreads])
    head = ["Condition", "Head", f"Effect against {study.baseline}, points", "p"]
    return Table([*head, "between backbones", f"between {study.unit}s", "the rest"], rows) if rows else None
