"""The page: sections of tables and figures, poured into the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from waferbench.artifacts import atomic
from waferbench.report import background, figures, making, synthesis, tables
from waferbench.report.study import Study
from waferbench.report.summary import REFERENCE, names, summarise

REFERENCES = {"test": "Against test wafers, which no generator saw", "train": "Against the generators’ training wafers"}


def render_page(study: Study, template: str | Path, output: str | Path) -> None:
    """Write the report: one HTML file that needs nothing else.

    Args:
        study: what `read_study` read.
        template: the Jinja2 template. Everything is escaped but the figures, whose text is escaped by matplotlib.
        output: the file to write.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(Path(template).read_text(encoding="utf-8"))
    with atomic(output) as temporary:
        temporary.write_text(page.render(**context(study)), encoding="utf-8")


def context(study: Study) -> dict[str, Any]:
    """All that the template names."""
    summary = summarise(study)
    saturation = figures.saturation(study)
    return {
        "study": study,
        "summary": summary,
        "best_backbone": study.short(summary.backbone),
        "head": figures.head_name(study),
        "reference": REFERENCE,
        "confidence": f"{study.confidence:.0%}",
        "table1": tables.table1(study),
        "table2": tables.table2(study),
        "comparisons": tables.comparisons(study),
        "wins": _wins(study),
        "legend": figures.legend(study),
        "gains": {name: Markup(text) for name, text in figures.gain_panels(study).items()},
        "saturation": Markup(saturation) if saturation else None,
        "per_class": _per_class(study),
        "confusions": {c: tables.confusion(study, summary.backbone, c) for c in study.conditions},
        "samples": _samples(study),
        "curves": Markup(curves) if (curves := making.training_curves(study)) else None,
        "priors": making.priors(study),
        "closest": making.closest_pairs(study),
        "quality": _quality(study),
        "networks": names(synthesis.networks(study)),
        "inception": any("inception" in n for n in synthesis.networks(study)),
        "agreement": synthesis.agreement(study),
        "shape": synthesis.shape_reasons(study),
        "real_rates": synthesis.real_rates(study),
        "filter_agreement": synthesis.filter_agreement(study),
        "corruptions": synthesis.corruptions(study),
        "borderline": making.borderline(study),
        "audit": background.audit(study),
        "audit_classes": background.audit_classes(study),
        "cost": background.cost(study),
        "versions": background.versions(),
        "origins": background.origins(study),
        "settings_text": background.settings_text(study),
    }


def _wins(study: Study) -> str:
    told = [
        f"{r.condition} on {r.above} of {r.backbones} (interval above zero on {r.clear})"
        for r in figures.wins(study).itertuples()
        if r.condition != REFERENCE
    ]
    return f"Backbones that do better than with {study.baseline}: {', '.join(told)}." if told else ""


def _per_class(study: Study) -> dict[str, tables.Table]:
    if not len(study.per_class):
        return {}
    mean = {"Mean of all backbones": tables.per_class(study)} if len(study.backbones) > 1 else {}
    return {**mean, **{study.short(b): tables.per_class(study, b) for b in study.backbones}}


def _samples(study: Study) -> dict[str, list[dict[str, Any]]]:
    """Class name -> rows (title, kind, image address, count shown, count of all, alternative text)."""
    if not study.samples:
        return {}
    count, levels = figures.examples_that_fit(study), tuple(study.settings["render"]["levels"])
    return {
        name: [
            {
                "title": title,
                "kind": kind,
                "total": total,
                "image": figures.strip(images, levels, count) if len(images) else "",
                "alt": f"{len(images)} wafer maps of class {name}: {title}, {kind}",
            }
            for title, kind, images, total in figures.sample_rows(study, label, count)
        ]
        for label, name in study.names.items()
    }


def _quality(study: Study) -> dict[str, tables.Table]:
    found = {title: synthesis.quality(study, reference) for reference, title in REFERENCES.items()}
    return {title: table for title, table in found.items() if table is not None}
