"""`pip install .` gives the library, with what it reads, under the version that it states itself."""

import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

from helpers.installed import build_wheel, copy_repository, make_environment
from helpers.workflow_copy import ROOT
from waferbench.base.places import RESOURCES, TEMPLATES, files_digest
from waferbench.engine.version import VERSION

LIBRARY = ROOT / "workflow/scripts"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    repository = copy_repository(tmp_path_factory.mktemp("repository"))
    before = {path for path in repository.rglob("*") if "__pycache__" not in path.parts}
    wheel = build_wheel(repository, tmp_path_factory.mktemp("wheel"))
    left = {path for path in repository.rglob("*") if "__pycache__" not in path.parts} - before
    assert not left, "a build leaves nothing in the clone that the next one could pack"
    return wheel


def test_the_wheel_holds_the_whole_library_and_what_it_reads(wheel: Path):
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(LIBRARY).as_posix() for path in (LIBRARY / "waferbench").rglob("*.py")}
    files = {f"waferbench/files/report/{path.relative_to(TEMPLATES)}" for path in TEMPLATES.rglob("*.*")}
    files |= {f"waferbench/files/resources/{path.relative_to(RESOURCES)}" for path in RESOURCES.rglob("*.*")}
    assert packed == modules | files


def test_it_is_imported_from_any_folder(wheel: Path, tmp_path: Path):
    python = make_environment(tmp_path / "environment", wheel)
    program = """
from importlib.metadata import version
from waferbench.base.places import RESOURCES, TEMPLATES, files_digest
from waferbench.engine.version import VERSION
from waferbench.learning.manifest import load_manifest
import waferbench
print(waferbench.__file__, version("waferbench"), VERSION, files_digest(RESOURCES, TEMPLATES), sep="\\n")
assert load_manifest(RESOURCES / "weights.yaml")
"""
    place, *told = subprocess.check_output([python, "-c", program], cwd="/", text=True).splitlines()
    assert Path(place).is_relative_to(tmp_path)
    assert told == [VERSION, VERSION, files_digest(RESOURCES, TEMPLATES)]


def test_the_workflow_catalog_finds_what_it_asks_for():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    assert usage["software-stack-deployment"] == {"conda": True, "apptainer": False, "apptainer+conda": False}
    assert usage["report"] is True
    assert (ROOT / "workflow/Snakefile").is_file() and (ROOT / "config/README.md").is_file()
