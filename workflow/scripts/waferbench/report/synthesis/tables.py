"""The score tables of the report, as rows of cells that the template draws."""

from __future__ import annotations

import numpy as np
import pandas as pd

from waferbench.report.kit import tables as kit
from waferbench.report.kit.tables import BLANK, Cell, Table, name, number
from waferbench.report.kit.words import known, points, reach, score
from waferbench.report.synthesis.study import HEADS, Study
from waferbench.report.synthesis.worth import COUNTS

COST = ("Parameters, M", "GMACs", "Latency, ms")


def table1(study: Study) -> Table:
    """Macro-F1 of every backbone, head and condition; to the right the paper's numbers, and what an image costs."""
    published = study.published.get("table1", {})
    columns = dict(published.get("columns", {}))
    shown = any(study.paper_row(b) for b in study.backbones) and bool(columns)
    dear, rows = bool(study.costs.notna().any(axis=None)), []
    for head in study.heads:
        means = study.means(head)
        for backbone in study.backbones:
            present = {c: means.loc[(backbone, c)] for c in study.conditions if (backbone, c) in means.index}
            top = max((m["mean"] for m in present.values()), default=None)
            row = [name(study.short(backbone), _also_known_as(study, backbone)), Cell(HEADS.get(head, head))]
            for condition in study.conditions:
                m = present.get(condition)
                if m is None:
                    row.append(BLANK)
                    continue
                title = f"accuracy {score(m['accuracy'], m['accuracy_std'])}; mean over {int(m['n'])} {study.over}"
                tone = "best" if m["mean"] == top else ""
                note = spread(study, m["std"], backbone, condition, head)
                row.append(Cell(f"{m['mean']:.4f}", float(m["mean"]), note, tone, title=title))
            row += [_paper_cell(study, backbone, column, head) for column in columns] if shown else []
            row += cost_cells(study, backbone) if dear else []
            rows.append(row)
    names = ["Backbone", "Head", *study.conditions, *(columns.values() if shown else ()), *(COST if dear else ())]
    mine = f"This study, {study.protocol}" + (" (leaky)" if study.leaky else "")
    groups = [("", 2), (mine, len(study.conditions))]
    groups += [("The paper (5 folds, pooled generators)", len(columns))] if shown else []
    groups += [("Cost of one image", len(COST))] if dear else []
    return Table(names, rows, groups)


def cost_cells(study: Study, backbone: str) -> list[Cell]:
    """Parameters in millions, multiply-accumulates in thousand millions, milliseconds: the columns `COST`."""
    c = study.costs.loc[backbone]
    per_second = f"{c['images_per_second']:,.0f} a second in batches" if known(c["images_per_second"]) else ""
    return [
        number(c["parameters"] / 1e6, ".1f"),
        number(c["macs"] / 1e9, ".3g"),
        number(c["latency_ms"], ".3g", title=per_second),
    ]


def _also_known_as(study: Study, backbone: str) -> str:
    """timm's name where it says more than the short one, and the paper's backbone where that is another one."""
    known = [backbone] if backbone != study.short(backbone) else []
    if study.paper_row(backbone) and not study.paper_backbone(backbone):
        known.append(f"the paper's nearest is {study.paper_row(backbone)}")
    return "; ".join(known)


def _paper_cell(study: Study, backbone: str, column: str, head: str) -> Cell:
    published, paper = study.published["table1"], study.paper_row(backbone)
    row = next((r for r in published["rows"] if r["backbone"] == paper), None)
    if row is None or head != published["head"] or row.get(column) is None:
        return BLANK
    std = published.get("std", {}).get(paper, {}).get(column)
    top = max(v for v in (row.get(c) for c in published["columns"]) if v is not None)
    return number(row[column], ".4f", f"± {std:.4f}" if std else "", "best" if row[column] == top else "")


def table1_frame(study: Study) -> pd.DataFrame:
    """Table 1 of every protocol in long form, for the file."""
    rows = [
        {
            "protocol": protocol,
            "leaky": part.leaky,
            "backbone": backbone,
            "head": head,
            "condition": condition,
            "macro_f1_mean": m["mean"],
            "macro_f1_std": m["std"],
            "accuracy_mean": m["accuracy"],
            "accuracy_std": m["accuracy_std"],
            "n_folds": int(m["n"]),
            "n_seeds": part.n_seeds,
            **{column: counts[column].get((backbone, head, condition)) for column in ("n_added", "steps")},
            "paper_macro_f1": None if part.leaky else study.paper_score(backbone, condition, head),
        }
        for protocol in study.protocols
        for part in [study.of(protocol)]
        for counts in [_counts(part)]
        for head in part.heads
        for (backbone, condition), m in part.means(head).iterrows()
    ]
    return pd.DataFrame(rows)


def _counts(study: Study) -> pd.DataFrame:
    """Means of `COUNTS` by backbone, head and condition."""
    keys = ["backbone", "head", "condition"]
    numbers = study.scores[list(COUNTS)].apply(pd.to_numeric, errors="coerce")
    return numbers.join(study.scores[keys]).groupby(keys).mean()


def spread(study: Study, std: float, backbone: str, condition: str, head: str) -> str:
    """What stands below a score: its deviation over folds; with one fold its interval over test wafers."""
    return kit.spread(std, None if known(std) else study.score_interval(backbone, condition, head), study.unit)


def comparisons(study: Study) -> Table | None:
    """Every comparison with its interval, p-values, standardised effect and the least effect it could have seen."""
    rows, corrected = [], bool(study.comparisons["p_holm"].notna().any())
    for r in study.comparisons.itertuples():
        interval = reach(r.low, r.high, "points")
        tone = "" if not interval else "good" if r.low > 0 else "bad" if r.high < 0 else ""
        rows.append(
            [
                name(study.short(r.backbone)),
                Cell(HEADS.get(r.head, r.head)),
                Cell(r.condition),
                Cell(r.against),
                Cell(points(r.difference), float(r.difference), tone=tone) if known(r.difference) else BLANK,
                Cell(interval, float(r.low)) if interval else BLANK,
                gap_of_wafers(r),
                number(100 * r.power_effect if known(r.power_effect) else None, ".1f"),
                number(r.p_value, ".3f"),
                *((number(r.p_holm, ".3f"), _effect(r)) if corrected else ()),
                number(r.n_folds, ".0f"),
            ]
        )
    head = ["Backbone", "Head", "Condition", "Against", "Gain (points)", f"{study.confidence:.0%} interval"]
    head += ["Over test wafers alone", "Smallest effect seen", "p"]
    head += ["p, Holm", "Effect"] if corrected else []
    head += [f"{study.unit.title()}s"]
    return Table(head, rows) if rows else None


def gap_of_wafers(row) -> Cell:
    """The interval of a difference over test wafers alone."""
    interval = reach(row.wafer_low, row.wafer_high, "points")
    return Cell(interval, float(row.wafer_low)) if interval else BLANK


def _effect(row) -> Cell:
    return number(row.effect, ".2f", reach(row.effect_low, row.effect_high))


def per_class(study: Study, backbone: str | None = None) -> Table:
    """F1 of each class under each condition, mean over folds (and over backbones where none is named)."""
    t = study.per_class[study.per_class["head"] == study.head]
    t = t if backbone is None else t[t["backbone"] == backbone]
    means = t.pivot_table(index="label", columns="condition", values="f1", aggfunc="mean")
    wide = means.reindex(index=[n for n in study.names if n in means.index], columns=study.conditions)
    support = t.drop_duplicates(["fold", "label"]).groupby("label")["support"].sum()
    values = wide.to_numpy(float)
    low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
    rows = []
    for label, row in wide.iterrows():
        cells = [name(study.name_of(label)), number(support.get(label), ",.0f")]
        for condition in study.conditions:
            comparable = study.real in row and condition != study.real and not study.leaky
            change = row[condition] - row[study.real] if comparable else None
            note = points(change) if known(change) else ""
            tone = "best" if row[condition] == row.max() else ""
            heat = (row[condition] - low) / max(high - low, 1e-9) if known(row[condition]) else None
            cells.append(number(row[condition], ".3f", note, tone, heat=heat))
        rows.append(cells)
    return Table(["Class", "Test wafers", *study.conditions], rows, kind="heat")


def confusion(study: Study, backbone: str, condition: str) -> Table:
    """Counts of (true, predicted) summed over folds and seeds; the shade is the share of the true class."""
    t = study.predictions
    t = t[(t["backbone"] == backbone) & (t["condition"] == condition) & (t["head"] == study.head)]
    found = set(t["y_true"]) | set(t["y_pred"])
    labels = [label for label in study.names if label in found] + sorted(found - set(study.names))
    counts = pd.crosstab(t["y_true"], t["y_pred"]).reindex(index=labels, columns=labels, fill_value=0)
    rows = []
    for true, row in counts.iterrows():
        total = max(1, int(row.sum()))
        cells = [name(study.name_of(true))]
        for predicted, count in row.items():
            share, right = count / total, true == predicted
            title = f"{count} of {total} {study.name_of(true)} called {study.name_of(predicted)} ({share:.1%})"
            tone = "right" if right else "wrong" if count else "muted"
            cells.append(Cell(f"{count:,}" if count else "·", int(count), "", tone, float(share), title))
        rows.append(cells)
    return Table(["True \\ called", *map(study.name_of, labels)], rows, kind="confusion")
