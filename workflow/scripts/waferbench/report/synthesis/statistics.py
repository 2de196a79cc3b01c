"""What the grid says as a whole: where gains come from, which condition ranks best, whether gains run out."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd

from waferbench.report.kit.figures import INK, LINE, MUTED, clean, log_axis, sheet, svg
from waferbench.report.kit.tables import BLANK, Cell, Table, gap, name, number
from waferbench.report.kit.words import known, reach
from waferbench.report.synthesis.figures import colours, draw_difference, limits_of
from waferbench.report.synthesis.study import HEADS, Study
from waferbench.report.synthesis.worth import least

STEPS = ("augmentation", "repetition", "synthesis", "judging")
AGAINST = {  # what gains are set against: title, unit of the slope in points of gain, factor from the table's
    "parameters": ("parameters", "points per tenfold", 100),
    "real_score": ("macro-F1 on real wafers alone", "points per point", 1),
}


def steps(study: Study) -> list[tuple[str, str, str]]:
    """(step, condition, reference) of the decomposition, in the order of the chain."""
    found = study.decomposition[["step", "condition", "reference"]].drop_duplicates().itertuples(index=False)
    order = {c: i for i, c in enumerate(study.conditions)}
    rank = {step: i for i, step in enumerate(STEPS)}
    return sorted(map(tuple, found), key=lambda s: (rank.get(s[0], len(STEPS)), order.get(s[1], len(order)), s))


def decomposition(study: Study) -> Table | None:
    """Each step's gain in points: a row a backbone and head, a column a step."""
    t = study.decomposition
    if not len(t):
        return None
    rows = []
    for head in study.heads:
        for backbone in study.backbones:
            mine = t[(t["head"] == head) & (t["backbone"] == backbone)]
            row = [name(study.short(backbone)), Cell(HEADS.get(head, head))]
            for step, condition, reference in steps(study):
                sees = least(study, backbone, condition, reference, head)
                row.append(_gap(mine, sees, step=step, condition=condition, reference=reference))
            rows.append(row)
    head = ["Backbone", "Head", *(f"{step}: {condition} − {reference}" for step, condition, reference in steps(study))]
    return Table(head, rows)


def _gap(table: pd.DataFrame, sees: str, **where: str) -> Cell:
    for column, value in where.items():
        table = table[table[column] == value]
    if not len(table):
        return BLANK
    r = table.iloc[0]
    notes = [f"p {r['p_value']:.3f}"] if known(r["p_value"]) else []
    if alone := reach(r["wafer_low"], r["wafer_high"], "points"):
        notes.append(f"test wafers alone {alone}")
    notes += [sees] if sees else []
    return gap(r["difference"], r["low"], r["high"], "; ".join(notes))


def decomposition_figure(study: Study) -> str | None:
    """Inline SVG: a panel a step, a row a backbone, dots with intervals on one axis."""
    t = study.decomposition[study.decomposition["head"] == study.head]
    chain = steps(study)
    if not len(t) or not chain:
        return None
    limits, backbones = limits_of(t), [b for b in study.backbones if b in set(t["backbone"])]
    with sheet(1.5 + 1.75 * len(chain), 1.1 + 0.3 * len(backbones)) as figure:
        panels = figure.subplots(1, len(chain), squeeze=False, sharey=True)[0]
        for axes, (step, condition, reference) in zip(panels, chain, strict=True):
            mine = t[(t["step"] == step) & (t["condition"] == condition) & (t["reference"] == reference)]
            colour = colours(study).get(condition, INK)
            axes.axvline(0, color=MUTED, lw=1)
            for y, backbone in enumerate(backbones):
                for _, row in mine[(mine["backbone"] == backbone) & mine["difference"].notna()].head(1).iterrows():
                    draw_difference(axes, y, row, colour)
            axes.set_title(f"{step}\n{condition} − {reference}", color=INK, fontsize=8.5, loc="left")
            axes.set_xlim(*limits)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
            clean(axes)
        panels[0].set_yticks(range(len(backbones)), [study.short(b) for b in backbones])
        panels[0].set_ylim(len(backbones) - 0.5, -0.5)
        figure.supxlabel("points of macro-F1", color=MUTED, fontsize=9.5)
        return svg(figure, "Gain of each step from real wafers to synthetic ones")


def ranks(study: Study) -> Table | None:
    """Mean rank of every condition over backbones, with the Friedman test's verdict, per head; None of one backbone."""
    t = study.ranks
    if not len(t) or len(study.backbones) < 2:
        return None
    tested, rows = tested_ranks(study), []
    for r in t.itertuples():
        row = [name(r.condition), Cell(HEADS.get(r.head, r.head)), number(r.mean_rank, ".2f")]
        row.append(number(r.n_backbones, ".0f"))
        if tested:
            blocks = f"orders permuted in {r.n_blocks:.0f} blocks" if known(r.n_blocks) else ""
            how = "for these generators alone" if r.verdict else blocks
            row += [number(r.statistic, ".2f"), number(r.p_value, ".4f", how)]
            row.append(number(r.critical_difference, ".2f"))
        rows.append(row)
    head = ["Condition", "Head", "Mean rank", "Backbones"]
    return Table(head + (["Friedman χ²", "p", "Critical difference"] if tested else []), rows)


def tested_ranks(study: Study) -> bool:
    """Whether backbones and conditions were enough for a test of their ranks."""
    return bool(study.ranks["statistic"].notna().any())


def rank_pairs(study: Study) -> Table | None:
    """Nemenyi's p of every pair of conditions, per head."""
    t = study.rank_pairs.dropna(subset=["p_value"])
    rows = [
        [
            name(r.condition),
            Cell(r.reference),
            Cell(HEADS.get(r.head, r.head)),
            number(r.p_value, ".4f", tone="good" if r.p_value < 1 - study.confidence else ""),
        ]
        for r in t.itertuples()
    ]
    return Table(["Condition", "Against", "Head", "p"], rows) if rows else None


def verdict(table: pd.DataFrame, head: str) -> str:
    """The first verdict that a table gives for a head, as a sentence; empty where it has none."""
    found = table.loc[(table["head"] == head) & table["verdict"].fillna("").astype(bool), "verdict"]
    return f"{found.iloc[0][:1].upper()}{found.iloc[0][1:]}." if len(found) else ""


def rank_figure(study: Study) -> str | None:
    """Inline SVG of the critical difference diagram (Demšar 2006); None where ranks were not tested."""
    t = study.ranks[study.ranks["head"] == study.head].drop_duplicates("condition")
    pairs = study.rank_pairs[study.rank_pairs["head"] == study.head].dropna(subset=["p_value"])
    if len(t) < 3 or not len(pairs) or not known(t["critical_difference"].iloc[0]):
        return None
    from scikit_posthocs import critical_difference_diagram  # four seconds, and only for this figure

    mean = t.set_index("condition")["mean_rank"].astype(float)
    matrix = pd.DataFrame(np.eye(len(mean)), index=mean.index, columns=mean.index)
    for r in pairs.itertuples():
        if r.condition in matrix.index and r.reference in matrix.index:
            matrix.loc[r.condition, r.reference] = matrix.loc[r.reference, r.condition] = float(r.p_value)
    with sheet(7.4, 0.9 + 0.34 * len(mean), **{"text.color": INK}) as figure:
        axes = figure.subplots()
        critical_difference_diagram(
            mean,
            matrix,
            alpha=1 - study.confidence,
            ax=axes,
            text_h_margin=0.05,
            crossbar_props={"color": INK, "linewidth": 3},
            color_palette={c: colours(study).get(c, INK) for c in mean.index},
        )
        critical = float(t["critical_difference"].iloc[0])
        axes.set_title(f"mean rank; differences of {critical:.2f} and more count", fontsize=9, color=MUTED, loc="left")
        axes.set_facecolor("none")
        axes.spines["top"].set_color(LINE)
        axes.tick_params(colors=MUTED)
        return svg(figure, "Mean rank of each condition over backbones, with the critical difference")


def saturation(study: Study) -> Table | None:
    """Spearman's rho and slope of the gain against a backbone's size and strength; None where nothing was tested."""
    t = study.saturation
    if not t["rho"].notna().any():
        return None
    rows = []
    for r in t.itertuples():
        title, unit, factor = AGAINST.get(r.against, (str(r.against), "", 1))
        slope, low, high = (factor * v if known(v) else None for v in (r.slope, r.slope_low, r.slope_high))
        note = reach(low, high)
        few = Cell(str(r.verdict), tone="muted") if isinstance(r.verdict, str) and r.verdict else Cell("")
        rows.append(
            [
                name(r.condition),
                Cell(HEADS.get(r.head, r.head)),
                Cell(title),
                number(r.rho, ".2f"),
                number(r.p_value, ".3f"),
                number(slope, "+.2f", f"{unit}, {note}" if note else unit),
                number(r.n_backbones, ".0f"),
                few,
            ]
        )
    return Table(["Condition", "Head", "Gain against", "Spearman’s ρ", "p", "Slope", "Backbones", ""], rows)


def saturation_figure(study: Study) -> str | None:
    """Inline SVG: gain of synthetic conditions against size and against strength; None below three backbones.

    A leaky protocol tests each condition on other wafers, so that there is no gain to draw.
    """
    means = study.means(study.head)["mean"].unstack("condition")
    synthetic = [c for c in study.conditions if study.synthetic(c) and c in means]
    if study.leaky or not {study.real, study.baseline} <= set(means) or len(means) < 3 or not synthetic:
        return None
    sizes = (study.costs["parameters"] / 1e6).reindex(means.index)
    panels = [("macro-F1 on real wafers alone", means[study.real], False)]
    if sizes.notna().sum() >= 3:
        panels.insert(0, ("parameters, millions (log)", sizes, True))
    with sheet(4.6 * len(panels), 3.0) as figure:
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (title, x, log) in zip(grid, panels, strict=True):
            for condition in synthetic:
                gain = 100 * (means[condition] - means[study.baseline])
                axes.plot(x, gain, "o", ms=6.5, color=colours(study)[condition])
            axes.axhline(0, color=MUTED, lw=1)
            axes.set_xlabel(title, color=MUTED)
            clean(axes)
            if log:
                log_axis(axes)
            axes.grid(axis="y", color=LINE, lw=0.8)
        grid[0].set_ylabel(f"gain against {study.baseline}, points", color=MUTED)
        return svg(figure, "Gain of each synthetic condition against the backbone’s size and strength")
