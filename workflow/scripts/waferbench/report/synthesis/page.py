"""The page: sections of tables and figures, poured into the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from waferbench.base.places import TEMPLATES
from waferbench.report.kit.page import Frame, write_page
from waferbench.report.kit.tables import Table
from waferbench.report.kit.words import listed
from waferbench.report.synthesis import (
    audit,
    dossiers,
    figures,
    generators,
    grid,
    judged,
    making,
    mistakes,
    statistics,
    tables,
    trust,
    worth,
)
from waferbench.report.synthesis.study import REFERENCE, Study
from waferbench.report.synthesis.summary import Summary, summarise
from waferbench.wafers.pictures import strip

TEMPLATE = TEMPLATES / "synthesis" / "report.html.j2"
QUESTION = "Which synthetic wafers make the classifier better?"
LEAKY = "leaky: copies or samples of test wafers are trained on"
KINDS = {"real": "training", "oracle": "further real wafers"}  # of strips of samples, as they are called below them
REFERENCES = {"test": "Against test wafers, which no generator saw", "train": "Against the generators’ training wafers"}


def render_page(study: Study, output: str | Path) -> None:
    """Write the report: one HTML file that needs nothing else.

    Args:
        study: what `read_study` read.
        output: the file to write.
    """
    main = study.main
    summary = summarise(main)
    frame = Frame(
        study=study.settings.study,
        question=QUESTION,
        answer=summary.sentences,
        tiles=summary.tiles,
        cautions=summary.cautions,
        settings=study.settings,
        runs=study.runs,
        origins=study.origins,
        warning=LEAKY if main.leaky else "",
        findings=summary.findings,
        alarms=summary.alarms,
    )
    write_page(TEMPLATE, output, frame, sections(study, summary))


def sections(whole: Study, summary: Summary) -> dict[str, Any]:
    """All that the template names: of the first protocol, but where all are compared."""
    study = whole.main
    return {
        "study": study,
        "head": figures.head_name(study),
        "real": study.real,
        "hollow": figures.hollow(study),
        "confidence": f"{study.confidence:.0%}",
        **_scores(study, summary),
        "table2": grid.table2(whole),
        "protocols": grid.protocols(whole),
        "protocol_verdicts": grid.protocol_verdicts(whole),
        "protocol_names": grid.protocol_names(whole),
        **_statistics(study),
        **_trust(study, summary.backbone),
        **_synthesis(study),
        "audit": audit.audit(study),
        "audit_classes": audit.audit_classes(study),
    }


def _scores(study: Study, summary: Summary) -> dict[str, Any]:
    return {
        "best_backbone": study.short(summary.backbone),
        "table1": tables.table1(study),
        "training": worth.training(study),
        "budget": worth.budget(study),
        "pooled": worth.pooled(study),
        "worth": worth.worth(study),
        "repeated": study.repeated,
        "code_books": worth.code_books(study),
        "heads": grid.heads(study),
        "cost_figure": grid.cost_figure(study),
        "cheap": grid.cheap_sentence(study),
        "comparisons": tables.comparisons(study),
        "wins": _wins(study),
        "legend": figures.legend(study),
        "gains": figures.gain_panels(study),
        "per_class": tables.per_class(study) if len(study.per_class) else None,
        "confusions": {c: tables.confusion(study, summary.backbone, c) for c in study.conditions},
        "dossiers": dossiers.dossiers(study),
    }


def _statistics(study: Study) -> dict[str, Any]:
    return {
        "decomposition": statistics.decomposition(study),
        "decomposition_figure": statistics.decomposition_figure(study),
        "decomposition_judged": any(step == "judging" for step, _, _ in statistics.steps(study)),
        "ranks": statistics.ranks(study),
        "rank_pairs": statistics.rank_pairs(study),
        "rank_figure": statistics.rank_figure(study),
        "rank_verdict": statistics.verdict(study.ranks, study.head),
        "ranks_tested": statistics.tested_ranks(study),
        "mixed": worth.mixed(study),
        "mixed_verdict": statistics.verdict(study.mixed_model, study.head),
        "saturation": statistics.saturation(study),
        "saturation_verdict": statistics.verdict(study.saturation, study.head),
        "saturation_figure": statistics.saturation_figure(study),
        "synthetic_legend": [
            (condition, colour) for condition, colour in figures.legend(study) if study.synthetic(condition)
        ],
    }


def _trust(study: Study, best: str) -> dict[str, Any]:
    return {
        "rare_recall": trust.rare_recall(study),
        "rare_figure": trust.rare_figure(study, best),
        "precision": trust.precision(study),
        "calibration": trust.calibration(study),
        "reliability": trust.reliability_figure(study, dict.fromkeys(study.backbones, study.baseline)),
        "suspects": mistakes.suspects(study),
        "label_counts": mistakes.label_counts(study),
        "label_models": mistakes.label_models(study),
        "looked_at": mistakes.looked_at(study, best),
    }


def _synthesis(study: Study) -> dict[str, Any]:
    return {
        "samples": _samples(study),
        "curves": making.training_curves(study),
        "priors": making.priors(study),
        "bases": making.bases(study),
        "drawing": making.drawing(study),
        "closest": making.closest_pairs(study),
        "quality": _quality(study),
        "networks": listed(generators.networks(study)),
        "inception": any("inception" in n for n in generators.networks(study)),
        "measured_once": _measured_once(study),
        "agreement": judged.agreement(study),
        "agreement_figure": judged.agreement_figure(study),
        "texture": judged.texture(study),
        "shape": generators.shape_reasons(study),
        "real_rates": generators.real_rates(study),
        "filter_agreement": generators.filter_agreement(study),
        "corruptions": generators.corruptions(study),
        "borderline": making.borderline(study),
    }


def _wins(study: Study) -> str:
    if len(study.backbones) < 2:
        return ""
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
    count, levels = figures.examples_that_fit(study), study.settings.render.levels
    return {
        name: [
            {
                "title": title,
                "kind": "real" if kind == "oracle" else kind,
                "below": KINDS.get(kind, kind),
                "total": total,
                "image": strip(images, levels, count) if len(images) else "",
                "alt": f"{len(images)} wafer maps of class {name}: {title}, {KINDS.get(kind, kind)}",
            }
            for title, kind, images, total in rows
        ]
        for label, name in study.names.items()
        if (rows := figures.sample_rows(study, label, count))
    }


def _measured_once(study: Study) -> str:
    """Where quality was measured, if not in every fold; "" else."""
    once = study.settings.quality.scopes == "first" and len(study.folds_run) > 1 and not study.pooled
    return f"Measured in the first {study.unit} alone." if once else ""


def _quality(study: Study) -> dict[str, Table]:
    found = {title: generators.quality(study, reference) for reference, title in REFERENCES.items()}
    return {title: table for title, table in found.items() if table is not None}
