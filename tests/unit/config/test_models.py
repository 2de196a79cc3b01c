"""The models of the settings: data alone, described, in one voice with config/config.yaml."""

import ast
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from waferbench.config.resolve import resolve
from waferbench.config.section import Section
from waferbench.config.study import Drawing, Render
from waferbench.config.synthesis.settings import SvmSettings, SynthesisSettings
from waferbench.config.synthesis.sources import GanSampling, Lora, LoraSampling
from waferbench.config.synthesis.stages import SampleLora
from waferbench.tracks import all_tracks, checks_of, settings_model

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "workflow/scripts/waferbench/config"
MODEL = settings_model(all_tracks())
FILES = sorted((ROOT / "config").glob("*.yaml"))


def keys(section: type[Section] | Section, place: str = "") -> set[str]:
    """Every key of a section and of those below, with dots."""
    found = set()
    for name in type(section).model_fields:
        value, key = getattr(section, name), f"{place}{name}"
        if isinstance(value, Section):
            found |= keys(value, f"{key}.")
        elif isinstance(value, dict) and any(isinstance(entry, Section) for entry in value.values()):
            for inner, entry in value.items():
                found |= keys(entry, f"{key}.{inner}.")
        else:
            found.add(key)
    return found


def written(node: dict, place: str = "") -> set[str]:
    found = set()
    for key, value in node.items():
        nested = isinstance(value, dict) and key != "counts"
        found |= written(value, f"{place}{key}.") if nested else {f"{place}{key}"}
    return found


def test_the_default_file_shows_every_key_with_its_default():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    assert resolve(config, MODEL, checks_of(all_tracks())) == MODEL(), "config.yaml and the models differ"
    assert written(config) - {"set"} == keys(MODEL())


def test_every_key_of_the_default_file_has_a_comment():
    lines = (ROOT / "config/config.yaml").read_text().splitlines()
    bare = [
        line
        for before, line in pairwise(lines)
        if re.match(r"\s*[\w.]+: +[^#\s]", line) and "#" not in line and not before.strip().startswith("#")
    ]
    named = [line for line in bare if "pretrained:" not in line and "judge:" not in line]
    assert named == []


def undescribed(section: Section, place: str = "") -> list[str]:
    found = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            found += undescribed(value, f"{place}{name}.")
        elif isinstance(value, dict) and any(isinstance(entry, Section) for entry in value.values()):
            found += [key for inner, entry in value.items() for key in undescribed(entry, f"{place}{name}.{inner}.")]
        elif not field.description:
            found.append(f"{place}{name}")
    return found


def test_every_key_has_a_description():
    assert undescribed(MODEL()) == []


def models() -> list[type[Section]]:
    found, todo = [], [Section]
    while todo:
        for below in todo.pop().__subclasses__():
            found.append(below)
            todo.append(below)
    return found


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_models_are_frozen_and_refuse_what_they_do_not_know(model):
    assert model.model_config["frozen"] and model.model_config["extra"] == "forbid"


@pytest.mark.parametrize("file", sorted(CONFIG.rglob("s*.py")), ids=lambda file: file.name)
def test_models_hold_data_alone(file):
    """They are in no digest: what they computed would reach a job unseen."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef) and node.name != "Section":
            assert not [part for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))], (
                node.name
            )


def test_values_cannot_be_changed():
    with pytest.raises(ValidationError):
        SvmSettings().C = 3
    with pytest.raises(ValidationError):
        SvmSettings(c=3)


def test_a_section_is_narrowed_to_what_a_stage_reads():
    source = Lora(size=64, steps=5, guidance=2)
    narrow = LoraSampling.of(source)
    assert (narrow.size, narrow.guidance) == (64, 2.0) and not hasattr(narrow, "steps")
    stage = SampleLora.of(SynthesisSettings(), SynthesisSettings().dataset, source=source, seed=1, base_files="")
    assert type(stage.source) is LoraSampling and type(stage.render) is Drawing
    with pytest.raises(TypeError, match="latnt"):
        GanSampling.of(latnt=3)


def test_a_section_survives_its_own_text():
    settings = SynthesisSettings(render=Render(size=64))
    assert SynthesisSettings.model_validate_json(settings.model_dump_json()) == settings


def test_the_schema_is_the_models():
    done = subprocess.run(
        [sys.executable, ROOT / "workflow/scripts/schema.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_schema_accepts_every_shipped_file_and_is_named_in_its_first_line(file):
    text = file.read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    jsonschema.validate(yaml.safe_load(text), json.loads((ROOT / "config/schema.json").read_text()))


@pytest.mark.parametrize("wrong", [{"svmm": {}}, {"svm": {"c": 1}}, {"render": {"size": 33}}, {"svm": {"C": -1}}])
def test_the_schema_refuses_what_is_wrong(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads((ROOT / "config/schema.json").read_text()))
