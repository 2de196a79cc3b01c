"""The page: sections of tables and figures, poured into the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from waferbench.base.files import atomic
from waferbench.report.synthesis import (
    background,
    dossiers,
    figures,
    grid,
    making,
    mistakes,
    statistics,
    synthesis,
    tables,
    trust,
)
from waferbench.report.synthesis.study import Study
from waferbench.report.synthesis.summary import REFERENCE, names, summarise
from waferbench.wafers.pictures import strip

REFERENCES = {"test": "Against test wafers, which no generator saw", "train": "Against the generators’ training wafers"}


def render_page(study: Study, template: str | Path, output: str | Path) -> None:
    """Write the report: one HTML file that needs nothing else.

    Args:
        study: what `read_study` read.
        template: the Jinja2 template; its parts (style, script, sections) lie beside it. Everything is escaped but the
            figures, whose text is escaped by matplotlib.
        output: the file to write.
    """
    template = Path(template)
    environment = Environment(
        loader=FileSystemLoader(template.parent, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name)
    with atomic(output) as temporary:
        temporary.write_text(page.render(**context(study)), encoding="utf-8")


def context(whole: Study) -> dict[str, Any]:
    """All that the template names: of the first protocol, but where all are compared."""
    study = whole.main
    return {
        "study": study,
        "leaky": study.leaky,
        "head": figures.head_name(study),
        "reference": REFERENCE,
        "confidence": f"{study.confidence:.0%}",
        **_scores(study),
        "table2": grid.table2(whole),
        "protocols": grid.protocols(whole),
        "protocol_verdicts": grid.protocol_verdicts(whole),
        "protocol_names": grid.protocol_names(whole),
        **_statistics(study),
        **_trust(study),
        **_synthesis(study),
        "audit": background.audit(study),
        "audit_classes": background.audit_classes(study),
        "cost": background.cost(study),
        "versions": background.versions(),
        "origins": background.origins(study),
        "settings_text": background.settings_text(study),
    }


def _markup(svg: str | None) -> Markup | None:
    return Markup(svg) if svg else None


def _scores(study: Study) -> dict[str, Any]:
    summary = summarise(study)
    return {
        "summary": summary,
        "best_backbone": study.short(summary.backbone),
        "table1": tables.table1(study),
        "heads": grid.heads(study),
        "cost_figure": _markup(grid.cost_figure(study)),
        "cheap": grid.cheap_sentence(study),
        "comparisons": tables.comparisons(study),
        "wins": _wins(study),
        "legend": figures.legend(study),
        "gains": {name: Markup(text) for name, text in figures.gain_panels(study).items()},
        "per_class": tables.per_class(study) if len(study.per_class) else None,
        "confusions": {c: tables.confusion(study, summary.backbone, c) for c in study.conditions},
        "dossiers": dossiers.dossiers(study),
    }


def _statistics(study: Study) -> dict[str, Any]:
    return {
        "decomposition": statistics.decomposition(study),
        "decomposition_figure": _markup(statistics.decomposition_figure(study)),
        "ranks": statistics.ranks(study),
        "rank_pairs": statistics.rank_pairs(study),
        "rank_figure": _markup(statistics.rank_figure(study)),
        "rank_verdict": statistics.verdict(study.ranks, study.head),
        "saturation": statistics.saturation(study),
        "saturation_verdict": statistics.verdict(study.saturation, study.head),
        "saturation_figure": _markup(statistics.saturation_figure(study)),
    }


def _trust(study: Study) -> dict[str, Any]:
    best = summarise(study).backbone
    return {
        "rare_recall": trust.rare_recall(study),
        "rare_figure": _markup(trust.rare_figure(study, best)),
        "precision": trust.precision(study),
        "calibration": trust.calibration(study),
        "reliability": _markup(trust.reliability_figure(study, dict.fromkeys(study.backbones, study.baseline))),
        "suspects": mistakes.suspects(study),
        "label_counts": mistakes.label_counts(study),
        "label_models": mistakes.label_models(study),
        "looked_at": mistakes.looked_at(study, best),
    }


def _synthesis(study: Study) -> dict[str, Any]:
    return {
        "samples": _samples(study),
        "curves": _markup(making.training_curves(study)),
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
    }


def _wins(study: Study) -> str:
    told = [
        f"{r.condition} on {r.above} of {r.backbones} (interval above zero on {r.clear})"
        for r in figures.wins(study).itertuples()
        if r.condition != REFERENCE
    ]
    return f"Backbones that do better than with {study.baseline}: {', '.join(told)}." if told else ""


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
                "image": strip(images, levels, count) if len(images) else "",
                "alt": f"{len(images)} wafer maps of class {name}: {title}, {kind}",
            }
            for title, kind, images, total in rows
        ]
        for label, name in study.names.items()
        if (rows := figures.sample_rows(study, label, count))
    }


def _quality(study: Study) -> dict[str, tables.Table]:
    found = {title: synthesis.quality(study, reference) for reference, title in REFERENCES.items()}
    return {title: table for title, table in found.items() if table is not None}
