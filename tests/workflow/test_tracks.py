"""Every track keeps the same contract: held over all declarations, so that a new one is held to it unasked."""

import json
import re

import pandas as pd
import pytest
from conftest import Study

from helpers.pages import parsed
from helpers.workflow_copy import ROOT
from waferbench.config.section import Section
from waferbench.config.study import StudySettings
from waferbench.tracks import Track, all_tracks

pytestmark = pytest.mark.workflow
TRACKS = all_tracks()
tracks = pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.name)
RULES = ROOT / "workflow/rules"
EVERY_RULE = re.compile(r"^(?:rule|checkpoint) (\w+):\n(.*?)(?=^\S|\Z)", re.M | re.S)
FOUND = {name: body for file in RULES.rglob("*.smk") for name, body in EVERY_RULE.findall(file.read_text())}
NO_JOBS = ("doctor", "clean_store")  # they look on, or clear
JOBS = {name: body for name, body in FOUND.items() if "    script:\n" in body and name not in NO_JOBS}


def test_there_are_tracks_of_different_names_targets_and_pages():
    assert TRACKS and all(len({getattr(t, key) for t in TRACKS}) == len(TRACKS) for key in ("name", "target", "page"))


@tracks
def test_its_target_is_known_and_everything_holds_it(track: Track, finished: Study):
    own, everything = finished.planned(track.target), finished.planned("everything")
    assert own.items() <= everything.items()
    if track.target == "all":
        assert own == finished.planned(), "it is the default target"


@tracks
def test_its_settings_are_strict(track: Track, finished: Study):
    own = track.settings.model_fields.keys() - StudySettings.model_fields.keys()
    section = track.section or next(n for n in sorted(own) if isinstance(getattr(track.settings(), n), Section))
    output = finished.snakemake("-n", track.target, "--config", f"set={section}.no_such_key=1", expect=1)
    assert f"unknown key '{section}.no_such_key'" in output and "Traceback" not in output


@tracks
def test_its_page_is_one_file_and_linked(track: Track, finished: Study):
    page = (finished.results / track.page).read_text()
    parsed(page)
    index = (finished.results / "index.html").read_text()
    parsed(index, links=[one.page for one in TRACKS])
    assert f'href="{track.page}"' in index and track.question in index


@tracks
def test_its_tables_have_the_columns_that_it_declares(track: Track, finished: Study):
    assert track.tables
    for name, columns in track.tables.items():
        found = list(pd.read_parquet(finished.results / f"{name}.parquet"))
        assert found == list(columns), name


@tracks
def test_its_provenance_is_complete(track: Track, described: Study):
    entities = json.loads((described.results / "ro-crate-metadata.json").read_text())["@graph"]
    named = {entity["@id"] for entity in entities}
    assert track.page in named and {f"{name}.parquet" for name in track.tables} <= named


@tracks
def test_it_has_a_page_of_documentation(track: Track):
    text = (ROOT / track.docs).read_text()
    assert text.startswith("# ") and "snakemake" in text and "](results.md" in text


@tracks
def test_its_rules_and_scripts_have_folders_of_its_name(track: Track):
    assert list((RULES / track.name).glob("*.smk")) and list((ROOT / "workflow/scripts" / track.name).glob("*.py"))
    snakefile = (ROOT / "Snakefile").read_text()
    for file in (RULES / track.name).glob("*.smk"):
        assert f'include: "workflow/rules/{track.name}/{file.name}"' in snakefile


def test_nothing_but_the_snakefile_and_its_own_files_names_a_track():
    shared = [*RULES.glob("*.smk"), *(ROOT / "profiles").rglob("profile.yaml")]
    library = ROOT / "workflow/scripts/waferbench"
    for package in ("base", "engine", "tools", "learning", "wafers", "images", "statistics"):
        shared += (library / package).rglob("*.py")
    shared += [*(library / "report/kit").rglob("*.py"), library / "tracks/__init__.py"]
    shared += [file for file in (library / "config").glob("*.py") if file.name != "grid.py"]
    for file in shared:
        for track in TRACKS:
            named = re.search(rf"\b(tracks|config|report|rules|scripts)[./]{track.name}\b", file.read_text())
            assert not named, f"{file}: {named}"


@pytest.mark.parametrize("name", JOBS)
def test_a_rule_says_what_it_claims_and_where_it_runs(name: str):
    body = JOBS[name]
    for part in ("runtime=", "mem_mb=", "    conda:", "    log:", "settings=", "code="):
        assert part in body, f"{name} lacks {part}"
    paths = body.partition("    log:")[0]
    if re.search(r"\{(RUN|CELL|GRID\.\w+)\}|\{\{\w+\}\}", paths.partition("    output:")[2]):
        assert "wildcard_constraints:" in body, f"{name}: its wildcards are free"


def test_rules_are_found_at_all():
    assert len(JOBS) >= 34
