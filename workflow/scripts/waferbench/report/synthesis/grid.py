"""The grid beyond Table 1: earlier work, the two heads, what a backbone costs, other protocols."""

from __future__ import annotations

import pandas as pd

from waferbench.report.kit.figures import INK, LINE, MUTED, clean, log_axis, sheet, svg
from waferbench.report.kit.tables import BLANK, Cell, Table, gap, name, number, spread
from waferbench.report.kit.words import listed, points, score
from waferbench.report.synthesis.figures import colours
from waferbench.report.synthesis.study import HEADS, Study, is_leaky

CHEAP = 0.2  # of the dearest cost: the paper's cheap backbone needs about a fifth
LEAKY = "leaky: copies or samples of test wafers are trained on"


def table2(study: Study) -> Table | None:
    """Earlier work by the paper's Table 2, and above it this study's best of each protocol; leaky splits marked."""
    published = study.published.get("table2", {}).get("rows", [])
    rows = [_own(study.of(protocol)) for protocol in study.protocols] if published else []
    for r in published:
        rows.append(
            [
                name(r["method"]),
                Cell(str(r["classes"]), r["classes"]),
                Cell(r["split"], note="leaky: split after augmentation" if r["leaky"] else ""),
                number(r["macro_f1"], ".4f", tone="bad" if r["leaky"] else ""),
                number(r["accuracy"], ".4f", tone="bad" if r["leaky"] else ""),
            ]
        )
    return Table(["Method", "Classes", "Split", "Macro-F1", "Accuracy"], rows) if rows else None


def _own(part: Study) -> list[Cell]:
    """The row of this study's best mean under one protocol, over all heads."""
    means = pd.concat({head: part.ours(part.means(head)) for head in part.heads})
    head, backbone, condition = means["mean"].idxmax()
    best = means.loc[(head, backbone, condition)]
    tone = "bad" if part.leaky else "best"
    wafers = "simulated wafers" if part.simulated else ""
    classes = part.per_class["label"].nunique() or len(part.names)
    return [
        name(f"This study: {part.short(backbone)}, {condition}, {HEADS.get(head, head)}", wafers),
        Cell(str(classes), classes),
        Cell(
            part.protocol,
            note=LEAKY
            if part.leaky
            else f"{int(best['n'])} {part.over}"
            if best["n"] > 1
            else f"one split or {part.unit}",
        ),
        number(best["mean"], ".4f", _spread(best["std"]), tone),
        number(best["accuracy"], ".4f", _spread(best["accuracy_std"]), tone),
    ]


def _spread(std: float) -> str:
    return "" if pd.isna(std) else f"± {std:.4f}"


def heads(study: Study) -> Table | None:
    """ECOC-SVM minus softmax in points of macro-F1: a row a backbone, a column a condition."""
    t = study.tables["heads"].drop_duplicates(["backbone", "condition"]).set_index(["backbone", "condition"])
    if not len(t):
        return None
    rows = []
    for backbone in study.backbones:
        row = [name(study.short(backbone))]
        for condition in study.conditions:
            found = t.loc[(backbone, condition)] if (backbone, condition) in t.index else None
            row.append(BLANK if found is None else gap(found["difference"], found["low"], found["high"]))
        rows.append(row)
    return Table(["Backbone", *study.conditions], rows)


def best_conditions(study: Study) -> pd.DataFrame:
    """Per backbone: its best condition, mean macro-F1 and macs; only backbones whose cost is known."""
    means = study.ours(study.means(study.head))["mean"]
    best = means.groupby(level="backbone").idxmax()
    rows = [(b, best[b][1], means[best[b]], study.costs["macs"].get(b)) for b in study.backbones if b in best.index]
    table = pd.DataFrame(rows, columns=["backbone", "condition", "mean", "macs"]).set_index("backbone")
    return table.dropna(subset=["macs"])


def cheap_sentence(study: Study) -> str:
    """Whether the best backbone within a fifth of the dearest cost keeps up; empty where costs are unknown."""
    best = best_conditions(study)
    if len(best) < 2:
        return ""
    top = best["mean"].idxmax()
    limit = CHEAP * best["macs"].max()
    cheap = best[best["macs"] <= limit]
    if not len(cheap):
        return f"No backbone of this study needs a fifth or less of what {study.short(best['macs'].idxmax())} needs."
    found = cheap["mean"].idxmax()
    told = f"{study.short(found)} ({_gmacs(cheap.loc[found, 'macs'])}, {cheap.loc[found, 'condition']})"
    reached = f"{cheap.loc[found, 'mean']:.4f}"
    if found == top:
        return f"The best backbone of all is a cheap one: {told} reaches {reached}."
    loss = points(cheap.loc[found, "mean"] - best.loc[top, "mean"]).lstrip("+−")
    return (
        f"Within a fifth of the dearest backbone’s cost, the best is {told}: {reached}, {loss} points below "
        f"{study.short(top)} ({_gmacs(best.loc[top, 'macs'])}, {best.loc[top, 'condition']}) with "
        f"{best.loc[top, 'mean']:.4f}."
    )


def _gmacs(macs: float) -> str:
    return f"{macs / 1e9:.3g} GMACs"


def cost_figure(study: Study) -> str | None:
    """Inline SVG of macro-F1 against multiply-accumulates; None below two backbones of known cost.

    Filled: this study, a dot a condition. Hollow: the paper's score of the same backbone and condition, at the cost
    measured here (the paper gives none).
    """
    costs = study.costs["macs"].dropna()
    means = study.means(study.head)["mean"]
    if len(costs) < 2:
        return None
    with sheet(7.6, 4.0) as figure:
        axes, tops = figure.subplots(), means.groupby(level="backbone").max()
        limit = CHEAP * costs.max() / 1e9
        axes.axvspan(costs.min() / 1e9 / 1.6, limit, color=LINE, alpha=0.35, lw=0)
        for condition in study.conditions:
            mine = [(costs[b] / 1e9, means[(b, condition)]) for b in costs.index if (b, condition) in means.index]
            scores = {b: study.paper_score(b, condition, study.head) for b in costs.index if not study.leaky}
            scores = {b: value for b, value in scores.items() if value is not None}
            paper = [(costs[b] / 1e9, value) for b, value in scores.items()]
            tops = tops.combine(pd.Series(scores, dtype=float), max, fill_value=0.0)
            colour = colours(study)[condition]
            axes.plot(*_xy(mine), "o", ms=6, color=colour, label=condition)
            axes.plot(*_xy(paper), "o", ms=6.5, mfc="none", mec=colour, mew=1.4)
        for backbone in costs.index:
            text = {"textcoords": "offset points", "xytext": (0, 8), "fontsize": 8, "color": INK, "ha": "center"}
            axes.annotate(study.short(backbone), (costs[backbone] / 1e9, tops[backbone]), **text)
        log_axis(axes)
        axes.set_xlim(costs.min() / 1e9 / 1.6, costs.max() / 1e9 * 1.6)
        axes.margins(y=0.14)
        axes.set_xlabel("multiply-accumulates of one image, thousand millions (log)", color=MUTED)
        axes.set_ylabel("macro-F1", color=MUTED)
        axes.text(limit, 0.02, "a fifth of the dearest ", ha="right", color=MUTED, fontsize=8, transform=_foot(axes))
        clean(axes)
        axes.grid(axis="y", color=LINE, lw=0.8)
        return svg(figure, "Macro-F1 against what a backbone costs")


def _foot(axes):
    """x in data, y as a share of the axes."""
    return axes.get_xaxis_transform()


def _xy(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def protocols(study: Study) -> Table | None:
    """Macro-F1 per protocol, backbone and condition; None where there is one protocol."""
    if len(study.protocols) < 2:
        return None
    rows = []
    for protocol in study.protocols:
        part = study.of(protocol)
        means, leaky = part.means(part.head), is_leaky(protocol)
        for backbone in part.backbones:
            present = {c: means.loc[(backbone, c)] for c in study.conditions if (backbone, c) in means.index}
            top = max((m["mean"] for m in present.values()), default=None)
            row = [name(protocol, "leaky" if leaky else ""), Cell(study.short(backbone))]
            for condition in study.conditions:
                m = present.get(condition)
                tone = "bad" if leaky else "best" if m is not None and m["mean"] == top else ""
                note = "" if m is None else spread(m["std"], unit=part.unit)
                row.append(BLANK if m is None else number(m["mean"], ".4f", note, tone))
            rows.append([*row, number(means["n"].max(), ".0f"), number(part.n_seeds, ".0f")])
    return Table(["Protocol", "Backbone", *study.conditions, "Folds or replicates", "Seeds"], rows)


def protocol_verdicts(study: Study) -> list[tuple[str, bool]]:
    """(sentence, leaky) per protocol: the best condition over backbones, and its gain over real wafers alone."""
    told = []
    for protocol in study.protocols if len(study.protocols) > 1 else []:
        part = study.of(protocol)
        means = part.ours(part.means(part.head))["mean"].unstack("condition").mean()
        best = means.idxmax()
        text = f"{protocol}{' (leaky)' if part.leaky else ''}: best on average over backbones is {best}, "
        text += score(means[best])
        if best != part.real and part.real in means and not part.leaky:
            text += f", {points(means[best] - means[part.real])} points against {part.real}"
        told.append((text + ".", part.leaky))
    return told


def protocol_names(study: Study) -> str:
    """All protocols in words, the leaky ones called so."""
    return listed([f"{p} (leaky)" if is_leaky(p) else p for p in study.protocols])
