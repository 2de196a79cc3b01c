"""The tracks of the workbench: one module here declares one, and nothing else but the Snakefile names it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from waferbench.config.checks import check_study
from waferbench.config.section import Section
from waferbench.config.study import StudySettings, Surroundings, WeightPlaces

if TYPE_CHECKING:
    from waferbench.tools.doctor import Check
    from waferbench.tools.provenance.files import Outside

NOTHING: Mapping = {}


@dataclass(frozen=True)
class Track:
    """What a track adds to the workbench.

    name: of its folders: rules/<name>, scripts/<name>, docs/<name>.md.
    target: the rule that makes all of it.
    question: that it answers, for the page that links the tracks' pages.
    settings: its sections. section: the key that they stand under; "" for those at the top level.
    checks: called with the settings of the whole study; each raises an `InputError` where they contradict each other.
    page: its report, from the study's folder.
    tables: its tables by name, and their columns.
    doctor: the checks that it adds, by topic; called with the settings.
    weights: what a finished study has used that lies elsewhere, by name; called with each rule's settings as its
        artifacts tell them, and with the section ``weights``.
    """

    name: str
    target: str
    question: str
    settings: type[Section]
    page: str
    section: str = ""
    checks: tuple[Callable[[Any], None], ...] = ()
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    doctor: Callable[[Any], Mapping[str, Check]] = lambda settings: NOTHING
    weights: Callable[[Mapping[str, Mapping], WeightPlaces], Mapping[str, Outside]] = lambda told, places: NOTHING

    @property
    def docs(self) -> str:
        """Its page of the documentation."""
        return f"docs/{self.name}.md"


def all_tracks() -> list[Track]:
    """Every track, by name."""
    found = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return sorted((module.TRACK for module in found), key=lambda track: track.name)


def settings_model(tracks: Iterable[Track]) -> type[Section]:
    """The model of a whole study's settings: what all tracks share, and each one's own."""
    tracks = list(tracks)
    top = tuple(track.settings for track in tracks if not track.section)
    below = {track.section: (track.settings, track.settings()) for track in tracks if track.section}
    return create_model("Settings", __base__=(*top, StudySettings, Surroundings), **below)


def checks_of(tracks: Iterable[Track]) -> list[Callable[[Any], None]]:
    """What the settings of a study are held against."""
    return [check_study, *(check for track in tracks for check in track.checks)]
