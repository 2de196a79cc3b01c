"""Pages: sections of a track poured into a template, in the frame that all tracks share. A page needs no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined

from waferbench.base.files import atomic
from waferbench.base.places import TEMPLATES
from waferbench.config.section import Section
from waferbench.report.kit.origins import cost, origins, settings_text, versions

KIT = TEMPLATES / "kit"


@dataclass(frozen=True)
class Frame:
    """What stands around a track's own sections: above them the answer, below them what it was made from.

    study: the study's name. question: that the page answers, its heading.
    answer: sentences, the first of which is the answer and the last of which says how far to trust it.
    findings: what else was found, short sentences in an order.
    alarms: what makes the numbers of the page unfair to one another, sentences; said loudly.
    tiles: (caption, number, note, tone) of the numbers that matter most; tone: good, bad or nothing.
    cautions: reasons to hold back, plain words without a full stop, the gravest first.
    settings: of the study, shown whole.
    runs: run records. origins: provenance of each input's artifact, by the input's name.
    warning: stands above every table and figure that it holds for; nothing where there is none.
    """

    study: str
    question: str
    answer: Sequence[str]
    settings: Section
    tiles: Sequence[tuple[str, str, str, str]] = ()
    cautions: Sequence[str] = ()
    runs: Sequence[Mapping[str, Any]] = ()
    origins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    warning: str = ""
    findings: Sequence[str] = ()
    alarms: Sequence[str] = ()


def write_page(template: str | Path, output: str | Path, frame: Frame, sections: Mapping[str, Any]) -> None:
    """Write a track's page.

    Args:
        template: extends ``kit/page.html.j2``; its own parts lie beside it and are named without a folder.
        output: the file to write.
        sections: what the template names.
    """
    page = {
        "study": frame.study,
        "question": frame.question,
        "answer": frame.answer,
        "findings": frame.findings,
        "alarms": frame.alarms,
        "tiles": frame.tiles,
        "cautions": frame.cautions,
        "warning": frame.warning,
        "cost": cost(frame.runs),
        "versions": versions(),
        "origins": origins(frame.origins),
        "settings": settings_text(frame.settings),
    }
    fill(template, output, {**sections, "page": page})


def fill(template: str | Path, output: str | Path, names: Mapping[str, Any]) -> None:
    """Write what a template makes of some names. All is escaped but figures, see `waferbench.report.kit.figures.svg`.

    Args:
        template: a file; templates of the kit are named ``kit/...`` in it, those beside it by their names alone.
    """
    template = Path(template)
    environment = Environment(
        loader=ChoiceLoader([PrefixLoader({"kit": _folder(KIT)}), _folder(template.parent)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name)
    with atomic(output) as temporary:
        temporary.write_text(page.render(**names), encoding="utf-8")


def _folder(path: Path) -> FileSystemLoader:
    return FileSystemLoader(path, encoding="utf-8")
