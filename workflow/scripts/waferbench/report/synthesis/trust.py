"""How far single answers can be trusted: rare defects found where a precision is asked for, and probabilities."""

from __future__ import annotations

import matplotlib
import pandas as pd

from waferbench.report.kit.figures import INK, LINE, MUTED, SERIES, clean, panels, sheet, svg
from waferbench.report.kit.tables import BLANK, Cell, Table, gap, name, number
from waferbench.report.kit.words import known, reach
from waferbench.report.synthesis.figures import colours
from waferbench.report.synthesis.study import Study

COLUMNS = 4  # panels in a row


def precision(study: Study) -> str:
    """The precision asked for, in percent."""
    found = study.rare_recall["precision"].dropna()
    return f"{float(found.iloc[0]):.0%}" if len(found) else ""


def rare_recall(study: Study) -> Table | None:
    """Rare wafers found, the precision reached on test wafers and the gain: a row a class, backbone and condition."""
    t = study.rare_recall
    if not len(t):
        return None
    t = t.drop_duplicates(["backbone", "label", "condition"]).set_index(["backbone", "label", "condition"])
    rows, average = [], bool(t["average_precision"].notna().any())
    for label in dict.fromkeys(t.index.get_level_values("label")):
        for backbone in study.backbones:
            present = {c: t.loc[(backbone, label, c)] for c in study.conditions if (backbone, label, c) in t.index}
            top = max((r["recall"] for r in present.values() if r["n_reached"]), default=None)
            for condition, r in present.items():
                names = [name(study.name_of(label)), Cell(study.short(backbone)), Cell(condition)]
                gain = gap(r["gain"], r["gain_low"], r["gain_high"])
                row = [*names, number(r["n_positive"], ",.0f"), *_found(r, top), gain, _thresholds(r)]
                rows.append([*row, *_average(r)] if average else row)
    head = ["Class", "Backbone", "Trained on", "Wafers", "Found", "Precision reached"]
    head += [f"Gain against {study.baseline}, points", "Thresholds"]
    head += ["Average precision", f"its gain against {study.baseline}, points"] if average else []
    return Table(head, rows)


def _average(row: pd.Series) -> tuple[Cell, Cell]:
    """Average precision, which needs no threshold, and its gain."""
    mean = number(row["average_precision"], ".3f", reach(row["ap_low"], row["ap_high"]))
    return mean, gap(row["ap_gain"], row["ap_gain_low"], row["ap_gain_high"])


def _found(row: pd.Series, top: float | None) -> tuple[Cell, Cell]:
    """Recall, and the precision that it came with."""
    if not row["n_reached"]:
        return Cell("not reached", 0.0, tone="muted"), BLANK
    best = "best" if row["recall"] == top else ""
    recall = number(row["recall"], ".1%", _range(row["low"], row["high"]), best)
    return recall, number(row["precision_reached"], ".1%", _range(row["precision_low"], row["precision_high"]))


def _range(low: float, high: float) -> str:
    return reach(low, high, ".0%")


def _thresholds(row: pd.Series) -> Cell:
    """How many cells have a threshold, of how many."""
    return Cell(f"{row['n_reached']:.0f} of {row['n_cells']:.0f}", float(row["n_reached"]))


def rare_figure(study: Study, backbone: str) -> str | None:
    """Inline SVG of one backbone's recall, and beside it the precision reached: a panel a class, a row a condition."""
    t = study.rare_recall[study.rare_recall["backbone"] == backbone]
    labels = list(dict.fromkeys(t["label"]))
    conditions = [c for c in study.conditions if c in set(t["condition"])]
    if not labels or not conditions:
        return None
    with sheet(1.2 + 2.3 * len(labels), 1.0 + 0.32 * len(conditions)) as figure:
        grid = figure.subplots(1, len(labels), squeeze=False, sharey=True)[0]
        for axes, label in zip(grid, labels, strict=True):
            mine = t[t["label"] == label].drop_duplicates("condition").set_index("condition")
            for y, condition in enumerate(conditions):
                if condition in mine.index:
                    _draw_recall(axes, y, mine.loc[condition], colours(study)[condition])
            axes.set_title(f"{study.name_of(label)} ({int(mine['n_positive'].max()):,})", color=INK, fontsize=9)
            axes.set_xlim(-3, 103)
            axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator([0, 25, 50, 75, 100]))
            clean(axes)
        grid[0].set_yticks(range(len(conditions)), conditions)
        grid[0].set_ylim(len(conditions) - 0.5, -0.5)
        figure.supxlabel(
            f"% of the wafers found where {precision(study)} precision is asked for", color=MUTED, fontsize=9.5
        )
        return svg(
            figure, f"Rare wafers found where {precision(study)} precision is asked for, by {study.short(backbone)}"
        )


def _draw_recall(axes, y: int, row: pd.Series, colour: str) -> None:
    if not row["n_reached"] or not known(row["recall"]):
        axes.text(0, y, "not reached", color=MUTED, va="center", fontsize=8)
        return
    if known(row["low"]) and known(row["high"]):
        axes.plot([100 * row["low"], 100 * row["high"]], [y, y], color=colour, lw=2, alpha=0.75)
    axes.plot([100 * row["recall"]], [y], "o", ms=6, color=colour)
    if known(row["precision_reached"]):
        beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 8, "color": MUTED}
        axes.text(1.02, y, f"at {row['precision_reached']:.0%}", **beside)


def calibration(study: Study) -> Table | None:
    """Calibration error and log loss before and after temperature scaling, mean over folds and seeds."""
    t = study.calibration
    if not len(t):
        return None
    columns = ["temperature", "ece_before", "ece_after", "nll_before", "nll_after"]
    numbers = t[columns].apply(pd.to_numeric, errors="coerce")
    means = numbers.groupby([t["backbone"], t["condition"]]).mean()
    rows = []
    for backbone in study.backbones:
        for condition in study.conditions:
            if (backbone, condition) not in means.index:
                continue
            m = means.loc[(backbone, condition)]
            tone = "good" if m["ece_after"] < m["ece_before"] else "bad" if m["ece_after"] > m["ece_before"] else ""
            rows.append(
                [
                    name(study.short(backbone)),
                    Cell(condition),
                    number(m["temperature"], ".2f"),
                    number(100 * m["ece_before"], ".1f"),
                    number(100 * m["ece_after"], ".1f", tone=tone),
                    number(m["nll_before"], ".3f"),
                    number(m["nll_after"], ".3f"),
                ]
            )
    head = ["Backbone", "Condition", "Temperature", "before", "after", "before", "after"]
    return Table(head, rows, [("", 3), ("Calibration error, points", 2), ("Log loss, nats", 2)])


def reliability_figure(study: Study, cells: dict[str, str]) -> str | None:
    """Inline SVG of accuracy against confidence, before (hollow) and after (filled) scaling.

    Args:
        study: the study.
        cells: backbone -> condition; a panel each, those without a curve left out.
    """
    t = study.reliability
    found = {b: part for b, c in cells.items() if len(part := t[(t["backbone"] == b) & (t["condition"] == c)])}
    if not found:
        return None
    columns = min(COLUMNS, len(found))
    lines = -(-len(found) // columns)
    with sheet(2.7 * columns, 2.6 * lines) as figure:
        for axes, (backbone, part) in zip(panels(figure, len(found), columns), found.items(), strict=True):
            _draw_reliability(axes, part)
            axes.set_title(f"{study.short(backbone)}, {cells[backbone]}", color=INK, fontsize=9, loc="left")
        figure.supxlabel("confidence", color=MUTED, fontsize=9.5)
        figure.supylabel("accuracy", color=MUTED, fontsize=9.5)
        return svg(figure, "Accuracy of the calls against their confidence")


def _draw_reliability(axes, part: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    for stage, colour in (("before", SERIES[3]), ("after", SERIES[1])):
        mine = part[part["stage"] == stage].sort_values("confidence")
        mine = mine[mine["n"].astype(float) > 0]
        fill = colour if stage == "after" else "none"
        x, y = mine["confidence"].astype(float), mine["accuracy"].astype(float)
        axes.plot(x, y, "o-", ms=4.5, lw=1.3, color=colour, mfc=fill, label=stage)
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.03)
    axes.set_aspect("equal")
    clean(axes)
    for label in axes.get_yticklabels():
        label.set_color(MUTED)
    axes.grid(axis="y", color=LINE, lw=0.8)
