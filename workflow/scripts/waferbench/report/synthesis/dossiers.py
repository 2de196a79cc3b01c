"""One section per backbone: its scores and gains, classes, confusion, calibration, rare defects, mistakes, cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from waferbench.report.kit.tables import BLANK, Table, gap, name, number
from waferbench.report.kit.words import known, points
from waferbench.report.synthesis import mistakes, tables, trust
from waferbench.report.synthesis.study import HEADS, Study
from waferbench.report.synthesis.tables import spread
from waferbench.report.synthesis.worth import seen


def dossiers(study: Study) -> list[dict[str, Any]]:
    """Per backbone: {title, full, tiles, recipes, per_class, confusions, reliability, rare, mistakes}."""
    return [_dossier(study, backbone) for backbone in study.backbones]


def best_condition(study: Study, backbone: str) -> str:
    """The condition with a backbone's best mean under the head that the report speaks of."""
    return str(study.ours(study.means(study.head))["mean"][backbone].idxmax())


def _dossier(study: Study, backbone: str) -> dict[str, Any]:
    best = best_condition(study, backbone)
    compared = [c for c in dict.fromkeys([study.baseline, best]) if c in study.conditions]
    return {
        "title": study.short(backbone),
        "full": backbone,
        "tiles": _tiles(study, backbone, best),
        "recipes": recipes(study, backbone),
        "per_class": tables.per_class(study, backbone) if len(study.per_class) else None,
        "confusions": {c: tables.confusion(study, backbone, c) for c in compared},
        "reliability": trust.reliability_figure(study, {backbone: best}),
        "rare": trust.rare_figure(study, backbone),
        "mistakes": mistakes.looked_at(study, backbone),
    }


def _tiles(study: Study, backbone: str, best: str) -> list[tuple[str, str, str, str]]:
    """(caption, number, note, no tone): best condition, its score, gain, and what an image costs."""
    mean = study.means(study.head).loc[(backbone, best)]
    tiles = [("Best trained on", best, f"macro-F1 {mean['mean']:.4f}", "")]
    row = study.gain(backbone, best, study.baseline)
    if row is not None and known(row["difference"]):
        tiles.append((f"Gain against {study.baseline}", points(row["difference"]), "points", ""))
    cost = study.costs.loc[backbone]
    if known(cost["parameters"]):
        tiles.append(("Parameters", f"{cost['parameters'] / 1e6:.1f} M", "", ""))
    if known(cost["macs"]):
        size = f"an image of {cost['image_size']:.0f} pixels" if known(cost["image_size"]) else "an image"
        tiles.append(("Multiply-accumulates", f"{cost['macs'] / 1e9:.3g} G", size, ""))
    if known(cost["latency_ms"]):
        rate = f"{cost['images_per_second']:,.0f} a second in batches; " if known(cost["images_per_second"]) else ""
        tiles.append(("Latency", f"{cost['latency_ms']:.3g} ms", rate + study.timed_on, ""))
    return tiles


def recipes(study: Study, backbone: str) -> Table:
    """A backbone's row of Table 1, turned: a row a condition, with the gains of the head that the report speaks of."""
    means = {head: study.means(head) for head in study.heads}
    top = {head: m["mean"].get(backbone, pd.Series(dtype=float)).max() for head, m in means.items()}
    references = study.references
    rows = []
    for condition in study.conditions:
        row = [name(condition)]
        for head, table in means.items():
            m = table.loc[(backbone, condition)] if (backbone, condition) in table.index else None
            if m is None:
                row.append(BLANK)
                continue
            note = spread(study, m["std"], backbone, condition, head)
            row.append(number(m["mean"], ".4f", note, "best" if m["mean"] == top[head] else ""))
        for reference in references:
            r = study.gain(backbone, condition, reference)
            row.append(BLANK if r is None else gap(r["difference"], r["low"], r["high"], _p(r)))
        rows.append([*row, number(study.paper_score(backbone, condition, study.head), ".4f")])
    head = ["Trained on", *(HEADS.get(h, h) for h in means), *(f"against {r}" for r in references), "The paper"]
    return Table(head, rows, [("", 1), ("Macro-F1", len(means)), ("Gain, points", len(references)), ("", 1)])


def _p(row: pd.Series) -> str:
    """p, and the least effect that the comparison could have seen."""
    told = []
    if known(row["p_holm"]):
        told.append(f"p {row['p_holm']:.3f} (Holm)")
    elif known(row["p_value"]):
        told.append(f"p {row['p_value']:.3f}")
    return "; ".join(filter(None, [*told, seen(row["power_effect"])]))
