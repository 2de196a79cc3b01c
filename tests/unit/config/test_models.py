"""The models of the settings: data alone, described, in one voice with config/config.yaml."""

import ast
import json
import re
import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import ValidationError

from waferbench.config.classification import SvmSettings
from waferbench.config.resolve import resolve
from waferbench.config.section import Section
from waferbench.config.study import Drawing, Render
from waferbench.config.synthesis.settings import SynthesisSettings
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
        nested = isinstance(value, dict) and key not in ("counts", "rename")
        found |= written(value, f"{place}{key}.") if nested else {f"{place}{key}"}
    return found


MODIFIERS = ("augment", "keep_if_judged", "exclude")  # of a condition, which most leave as they are
DEFAULTS = [ROOT / "config/config.yaml", *(ROOT / f"config/{t.name}.yaml" for t in all_tracks() if t.section)]


def test_the_default_files_show_every_key_with_its_default():
    config = {key: value for file in DEFAULTS for key, value in yaml.safe_load(file.read_text()).items()}
    assert resolve(config, MODEL, checks_of(all_tracks())) == MODEL(), "the files and the models differ"
    rarely = {f"define.conditions.{name}.{key}" for name in MODEL().define.conditions for key in MODIFIERS}
    assert (written(config) | rarely) - {"set"} == keys(MODEL()) | rarely


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


def test_models_hold_data_alone():
    """They are in no digest: what they computed would reach a job unseen."""
    found = [model for model in models() if model.__module__.startswith("waferbench.config")]
    assert len(found) > 60
    for model in found:
        own = [name for name, value in vars(model).items() if callable(value) or isinstance(value, property)]
        assert [name for name in own if not name.startswith(("_", "model_"))] == [], model


PLANNING = ("tracks", "tools", "engine", "config")  # what no script computes a result with


def test_what_computes_takes_models_from_the_settings_and_nothing_that_computes():
    """A function of `config` that a stage called would decide its bytes and stand in no digest."""
    library, seen = CONFIG.parent, 0
    for file in library.rglob("*.py"):
        if file.relative_to(library).parts[0] in PLANNING:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.Import) and "waferbench.config" in ast.unparse(node)), file
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("waferbench.config"):
                module = import_module(node.module)
                for alias in node.names:
                    taken = getattr(module, alias.name)
                    assert isinstance(taken, type) and issubclass(taken, Section), f"{file}: {ast.unparse(node)}"
                    seen += 1
    assert seen > 40


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


WRONG = [
    {"svmm": {}}, {"svm": {"c": 1}}, {"render": {"size": 33}}, {"svm": {"C": -1}}, {"classifier": {"flip": "maybe"}},
    {"svm": {"C": "ten"}}, {"classifier": {"epochs": 2.5}}, {"classifier": {"steps": 0}},
]  # fmt: skip
RIGHT = [
    {"conditions": "real,gan"}, {"folds": {"run": "0,1"}}, {"seed": "1e3"}, {"classifier": {"compile": "yes"}},
    {"classifier": {"lr": "1e-4"}}, {"dataset": {"pass_bins": [1, "2"]}}, {"svm": {"C": 2}}, {"set": "svm.C=1"},
    {"define": {"sources": {"gan": {"ema": 0.9}}}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_the_schema_refuses_what_is_wrong(wrong):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads((ROOT / "config/schema.json").read_text()))


@pytest.mark.parametrize("right", RIGHT, ids=str)
def test_the_schema_accepts_what_a_study_accepts(right):
    jsonschema.validate(right, json.loads((ROOT / "config/schema.json").read_text()))
    resolve(right, MODEL)
