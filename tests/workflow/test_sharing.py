"""Studies of two users that share a cache: nothing common is computed twice, and nothing stale is ever served."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import Study, as_anybody, overlay, write_npz

pytestmark = pytest.mark.workflow

FOLD = "duplicate_cv5/seed42/fold0"
SAMPLES, CELL = f"{FOLD}/sources/gan/raw/center.h5", f"{FOLD}/cells/test_resnet.r160_in1k/gan/ecoc_svm.parquet"
FOLDS = "duplicate_cv5/seed42/folds.parquet"
LIBRARY = "workflow/scripts/waferbench"
OF_THE_SVM = {"svm.h5", "ecoc_svm.parquet", "ecoc_svm_validation.parquet"}


def user(folder: Path, data: str, like: Path | None = None) -> Study:
    """A workflow and data of one's own; the same wafers as another's file, or new ones."""
    study = Study.copy_workflow(folder)
    if like is None:
        write_npz(folder / data)
    else:
        shutil.copyfile(like, folder / data)
    (folder / "tests/config/npz.yaml").write_text(overlay(data))
    return study


def run(study: Study, name: str, cache: Path, *targets: str, settings: str = "", within: tuple = ()) -> str:
    targets = [f"results/{name}/{target}" for target in targets]
    return study.snakemake(*targets, "--config", f"study={name}", f"cache={cache}", f"set={settings}", within=within)


def jobs(study: Study, name: str) -> tuple[set[str], set[str]]:
    """The rules that were computed, and those whose results were taken."""
    records = [json.loads(file.read_text()) for file in (study.folder / "results" / name / "runs").glob("*.json")]
    taken = {record["rule"] for record in records if "fetched" in record}
    return {record["rule"] for record in records} - taken, taken


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Study:
    """The study that fills the cache, through to a generator, its samples and a cell that is trained on them."""
    study = user(tmp_path_factory.mktemp("first"), "wafers.npz")
    run(study, "first", study.folder / "cache", SAMPLES, CELL)
    return study


def test_another_users_study_computes_nothing_that_the_first_has_computed(first: Study, tmp_path: Path):
    second = user(tmp_path, "same wafers.npz", like=first.folder / "wafers.npz")
    run(second, "second", first.folder / "cache", SAMPLES, CELL, settings="seed=42 svm.C=1")
    through = {"ingest", "select_wafers", "make_folds", "train_gan", "sample_gan", "make_injection", "train_classifier"}
    computed, taken = jobs(first, "first")
    assert through | {"fit_svm"} <= computed and not taken
    assert jobs(second, "second") == ({"fit_svm"}, computed - {"fit_svm"})
    mine, theirs = second.folder / "results/second", first.folder / "results/first"
    files = [file for pattern in ("**/*.h5", "**/*.parquet", "**/*.safetensors") for file in mine.glob(pattern)]
    equal = {file.name: file.read_bytes() == (theirs / file.relative_to(mine)).read_bytes() for file in files}
    assert len(equal) >= 15 and {name for name in equal if not equal[name]} == OF_THE_SVM
    plan = ("--config", "study=second", "cache=", "set=svm.C=1")
    assert second.planned(f"results/second/{CELL}", *plan) == {}, "what was taken is up to date, cache or not"


def change_code(study: Study, monkeypatch: pytest.MonkeyPatch) -> str:
    module = study.folder / LIBRARY / "wafers/splitting.py"
    module.write_text(module.read_text() + "\nEXTRA = 1\n")
    return ""


def change_settings(study: Study, monkeypatch: pytest.MonkeyPatch) -> str:
    return "folds.seed=43"


def change_data(study: Study, monkeypatch: pytest.MonkeyPatch) -> str:
    write_npz(study.folder / "wafers.npz", seed=2)
    return ""


def change_package(study: Study, monkeypatch: pytest.MonkeyPatch) -> str:
    metadata = study.folder / "packages/scikit_learn-99.0.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 99.0\n")
    monkeypatch.setenv("PYTHONPATH", str(metadata.parents[1]))
    return ""


BEFORE = {"ingest", "select_wafers"}
SPLITTING = {"ingest", "make_folds"}  # what imports it: simulated replicates are dealt by it, too


@pytest.mark.parametrize(
    "change, computed",
    [
        (change_code, SPLITTING),
        (change_settings, {"make_folds"}),
        (change_package, SPLITTING),
        (change_data, BEFORE | {"make_folds"}),
    ],
)
def test_what_has_changed_is_computed_and_never_taken(change, computed, first: Study, tmp_path: Path, monkeypatch):
    study = user(tmp_path, "wafers.npz", like=first.folder / "wafers.npz")
    settings = change(study, monkeypatch)
    run(study, "changed", first.folder / "cache", FOLDS, settings=settings)
    assert jobs(study, "changed") == (computed, (BEFORE | {"make_folds"}) - computed)


def test_another_generator_is_trained_and_not_taken(first: Study, tmp_path: Path):
    study = user(tmp_path, "wafers.npz", like=first.folder / "wafers.npz")
    run(study, "wider", first.folder / "cache", SAMPLES, settings="define.sources.gan.stage2_iterations=3")
    assert jobs(study, "wider") == ({"train_gan", "sample_gan"}, BEFORE | {"make_folds"})


@pytest.mark.parametrize("rights", [0o555, 0o000])
def test_a_cache_without_rights_is_named_and_costs_nothing(rights: int, first: Study, tmp_path: Path):
    study = user(tmp_path, "wafers.npz", like=first.folder / "wafers.npz")
    (tmp_path / "cache").mkdir(mode=rights)
    output = run(study, "alone", tmp_path / "cache", "data/wafers.parquet", within=as_anybody())
    assert f"cache: {tmp_path / 'cache'} cannot be written to" in output
    assert "nothing added" in (tmp_path / "results/alone/logs/ingest.log").read_text()
    mine, theirs = (
        folder / "data/wafers.parquet" for folder in (tmp_path / "results/alone", first.folder / "results/first")
    )
    assert mine.read_bytes() == theirs.read_bytes()
