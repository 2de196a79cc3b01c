"""The workflow run from other folders than its own: by its path, as a module, read from a repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OVERLAYS, PLANNER, Study

from helpers.installed import build_wheel, copy_repository, make_environment
from waferbench.engine.version import VERSION

pytestmark = pytest.mark.workflow

SELECTED = "results/tiny/data/selected.parquet"
HOST = "forge.invalid"
MODULE = """
configfile: "config/config.yaml"


module waferbench:
    snakefile:
        {snakefile}
    config:
        config


use rule * from waferbench{names}


rule mine:
    input:
        "results/tiny/data/selected.parquet",
    output:
        "mine.txt",
    shell:
        "wc -c {{input}} > {{output}}"


onsuccess:
    waferbench.onsuccess()
"""


def snakemake(folder: Path, *arguments: str, python: Path | None = None, expect: int = 0, **environment: str) -> str:
    """Run Snakemake in a folder; its combined output. Dry runs in the tests' own environment are forks (Planner)."""
    command = [str(python or sys.executable), "-m", "snakemake", *arguments, "--cores", "2", "--resources", "gpu=1"]
    forked = None if python or environment or "-n" not in arguments else PLANNER.run(folder, command[3:])
    if forked is None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | environment)
        forked = done.returncode, done.stdout + done.stderr
    status, output = forked
    assert status == expect, output[-8000:]
    return output


def jobs(output: str) -> dict[str, int]:
    """Rule -> number of jobs, by the table of a plan or a run."""
    lines = output.splitlines()
    if "Job stats:" not in lines:
        return {}
    table = lines[lines.index("Job stats:") + 3 :]
    rows = (line.split() for line in table[: next(i for i, line in enumerate(table) if line.startswith("total"))])
    return {name: int(count) for name, count in rows}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return copy_repository(tmp_path_factory.mktemp("clones") / "an engineer's clone")


@pytest.fixture(scope="module")
def tiny(clone: Path, tmp_path_factory) -> Path:
    """A folder with settings and nothing else, where the clone's Snakefile has read and selected wafers."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "config").mkdir()
    shutil.copy(clone / "tests/config/tiny.yaml", folder / "config/config.yaml")
    snakemake(folder, SELECTED, "-s", str(clone / "Snakefile"))
    return folder


@pytest.fixture(scope="module")
def wheel(clone: Path, tmp_path_factory) -> Path:
    return build_wheel(clone, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory) -> Path:
    """An interpreter that has the library installed."""
    return make_environment(tmp_path_factory.mktemp("installed") / "environment", wheel)


def test_results_logs_and_records_go_to_the_folder_it_runs_in(clone: Path, tiny: Path):
    assert (tiny / SELECTED).exists() and (tiny / "results/tiny/logs/ingest.log").exists()
    assert (tiny / ".snakemake").is_dir()
    assert not (clone / "results").exists() and not (clone / ".snakemake").exists()


def test_without_settings_of_its_own_a_folder_plans_the_default_study(clone: Path, tmp_path: Path):
    whole = jobs(snakemake(tmp_path, "-n", "-s", str(clone / "Snakefile")))
    assert whole["all"] == 1 and whole["train_classifier"] == 4 * 7, "replicates and conditions"
    assert jobs(snakemake(tmp_path, "-n", "-s", str(clone / "workflow/Snakefile"))) == whole
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("study: mine\nfolds: {run: [0]}\n")
    fewer = snakemake(tmp_path, "-n", "-s", str(clone / "Snakefile"))
    assert jobs(fewer)["train_classifier"] == 7 and "results/mine/report.html" in fewer


def test_as_a_module_it_gives_its_rules_and_makes_nothing_again(clone: Path, tiny: Path, tmp_path: Path):
    folder = Study(tiny).copy(tmp_path / "module").folder
    (folder / "Snakefile").write_text(MODULE.format(snakefile=repr(str(clone / "Snakefile")), names=""))
    (folder / "results/tiny/report.html").touch()
    assert jobs(snakemake(folder, "mine")) == {"mine": 1}, "what the clone made is taken"
    assert "report.html" in (folder / "results/tiny/index.html").read_text()
    plain = jobs(snakemake(folder, "-n"))
    assert "ingest" not in plain and plain["make_report"] == plain["all"] == 1
    (folder / "Snakefile").write_text(MODULE.format(snakefile=repr(str(clone / "Snakefile")), names=" as wb_*"))
    renamed = jobs(snakemake(folder, "wb_everything", "-n"))
    assert renamed == {f"wb_{name}": count for name, count in plain.items() if name != "all"} | {"wb_everything": 1}


@pytest.fixture(scope="module")
def deployed(clone: Path, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """A folder with what deploying a repository's workflow leaves in it, and the environment in which the repository's
    address leads to the clone."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    hosted = tmp_path_factory.mktemp("hosted")
    repository = copy_repository(hosted / HOST / "fab/waferbench")
    git = ("git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "all"), ("tag", f"v{VERSION}")):
        subprocess.run([*git, *command], check=True)
    folder = tmp_path_factory.mktemp("deployed")
    for part in ("workflow", "config"):
        (folder / part).mkdir()
    shutil.copy(clone / "tests/config/tiny.yaml", folder / "config/config.yaml")
    address = f'github("fab/waferbench", path="workflow/Snakefile", tag="v{VERSION}", host="{HOST}")'
    (folder / "workflow/Snakefile").write_text(MODULE.format(snakefile=address, names=""))
    renamed = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{hosted}/.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://",
    }
    return folder, renamed | {"XDG_CACHE_HOME": str(hosted / "cache")}


def test_a_deployed_layout_runs_with_the_installed_library(deployed, installed: Path, tiny: Path):
    folder, environment = deployed
    made = jobs(snakemake(folder, "mine", python=installed, **environment))
    assert made == {"ingest": 1, "select_wafers": 1, "mine": 1}
    left = jobs(snakemake(folder, "-n", python=installed, **environment))
    assert left["make_report"] == 1 and "ingest" not in left and "select_wafers" not in left
    for file in ("data/wafers.h5", "data/selected.parquet"):
        mine, theirs = (root / "results/tiny" / file for root in (folder, tiny))
        assert mine.read_bytes() == theirs.read_bytes(), "the same code has another digest there"
    assert "not kept" not in (folder / "results/tiny/logs/ingest.log").read_text()


def test_a_library_that_is_missing_or_of_another_version_is_told(deployed, wheel: Path, tmp_path: Path):
    folder, environment = deployed
    told = snakemake(folder, "-n", expect=1, **environment)
    assert "the library is neither beside the rules" in told and "pip install the repository" in told
    other = make_environment(tmp_path / "other", wheel)
    (version,) = other.parents[1].glob("lib/*/site-packages/waferbench/engine/version.py")
    version.write_text(version.read_text().replace(f'"{VERSION}"', '"0.0.10"'))
    told = snakemake(folder, "-n", python=other, expect=1, **environment)
    assert f"found version 0.0.10 installed in {version.parents[2]}, expected {VERSION}, that of the rules" in told


def test_jobs_of_a_clone_import_its_own_library(clone: Path, wheel: Path, tiny: Path, tmp_path: Path):
    other = make_environment(tmp_path / "other", wheel)
    (library,) = other.parents[1].glob("lib/*/site-packages/waferbench/__init__.py")
    library.write_text("raise RuntimeError('the installed library was imported')\n")
    folder = tmp_path / "study"
    shutil.copytree(tiny / "config", folder / "config")
    snakemake(folder, "results/tiny/data/wafers.h5", "-s", str(clone / "Snakefile"), python=other)
    assert json.loads((folder / "results/tiny/runs/ingest.json").read_text())["version"] == VERSION


def test_an_environment_that_no_shell_could_start_is_told_before_a_job(clone: Path, tmp_path: Path):
    python = make_environment(tmp_path / "a drive's folder")
    told = snakemake(tmp_path, "-s", str(clone / "Snakefile"), python=python, expect=1)
    assert "the Python environment: found" in told and "make the environment in another folder" in told
    assert not (tmp_path / "results").exists()


def test_a_finished_study_stays_finished_under_another_clone_and_gets_its_provenance(finished: Study, tmp_path: Path):
    clone = Study.copy_workflow(tmp_path / "another clone").folder
    folder = tmp_path / "study"
    folder.mkdir()
    for part in ("results", ".snakemake", "wafers.npz"):
        subprocess.run(["cp", "-a", finished.folder / part, folder], check=True)
    study = Study(folder)
    overlays = tuple(str(finished.folder / file) for file in OVERLAYS)
    assert study.planned("everything", "-s", str(clone / "Snakefile"), overlays=overlays) == {}
    study.snakemake("provenance", "-s", str(clone / "Snakefile"), overlays=overlays)
    crate = {entity["@id"] for entity in json.loads((study.results / "ro-crate-metadata.json").read_text())["@graph"]}
    assert {"code/Snakefile", "code/workflow/report/kit/style.css", "code/resources/published.yaml"} <= crate
    command = [sys.executable, clone / "workflow/scripts/status.py", "--configfile", *overlays]
    assert " 0 left" in subprocess.check_output(command, cwd=folder, text=True)
