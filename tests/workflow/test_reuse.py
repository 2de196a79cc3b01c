"""What a study computed before it does not compute again, whatever Snakemake has to plan."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import Study
from PIL import Image

from waferbench.wafers.simulate.dataset import simulate

pytestmark = pytest.mark.workflow
TABLES = "results/tiny/scores.parquet", "results/tiny/quality.parquet"
SPLITS = "results/tiny/folds.parquet", "results/tiny/audit.parquet"
LIBRARY = "workflow/scripts/waferbench"


@pytest.fixture(scope="module")
def study(finished: Study, tmp_path_factory) -> Study:
    return finished.copy(tmp_path_factory.mktemp("reuse") / "study")


def computed(study: Study, *arguments: str, targets: tuple[str, ...] = TABLES) -> Counter:
    """Run the study up to some tables: rule -> parts of its jobs that were computed and not taken from the store."""
    runs = study.results / "runs"
    before = {path: path.stat().st_mtime_ns for path in runs.glob("*.json")}
    study.snakemake(*targets, *arguments)
    made = [path for path in runs.glob("*.json") if path.stat().st_mtime_ns != before.get(path)]
    records = [json.loads(path.read_text()) for path in made]
    assert records, "nothing was planned"
    return Counter(record["rule"] for record in records if "fetched" not in record)


def content(study: Study, tables: tuple[str, ...] = TABLES) -> dict[str, bytes]:
    return {table: (study.folder / table).read_bytes() for table in tables}


def test_an_edit_of_a_reader_that_changes_no_wafer_trains_nothing(study: Study):
    before = content(study)
    with open(study.folder / LIBRARY / "wafers/ingest/npz.py", "a") as file:
        file.write("\nEXTRA = 1\n")
    assert set(study.planned()) > {"ingest", "train_gan", "train_lora", "train_classifier", "fit_svm"}
    assert set(computed(study)) == {"ingest"}, "what imports the reader"
    assert content(study) == before and study.planned(*TABLES) == {}


def write_folder(folder: Path) -> None:
    """A folder a class of ``.npy`` and ``.png`` maps by turns."""
    maps, names, _ = simulate({"Center": 20, "Edge-Ring": 20, "Scratch": 20}, seed=1, duplicates=0)
    for number, (dies, name) in enumerate(zip(maps, names, strict=True)):
        place = folder / name / f"{number}.npy"
        place.parent.mkdir(parents=True, exist_ok=True)
        if number % 2:
            Image.fromarray(np.array([0, 127, 255], np.uint8)[dies]).save(place.with_suffix(".png"))
        else:
            np.save(place, dies)


def test_what_changes_no_wafer_of_a_folder_computes_nothing_after_its_reader(finished: Study, tmp_path: Path):
    study = finished.fresh(tmp_path / "study")
    write_folder(study.folder / "maps")
    arguments = ("--config", "set=dataset.source=folder dataset.path=maps")
    made = computed(study, *arguments, targets=SPLITS)
    assert made == {"ingest": 1, "select_wafers": 1, "make_folds": 1, "audit": 1, "gather_splits": 1}
    before = content(study, SPLITS)
    (study.folder / "maps/.DS_Store").write_bytes(b"windows")
    (study.folder / "maps/Center/.DS_Store").write_bytes(b"icons")
    (study.folder / "maps/Center/notes.txt").write_text("as found")
    for file in (study.folder / "maps").rglob("*.[np][pn][yg]"):
        file.touch()
    assert study.planned(*SPLITS, *arguments) == {}
    selected = ("results/tiny/data/selected.parquet",)
    assert computed(study, "--forcerun", "ingest", *arguments, targets=selected) == {}, "all is taken, from ingest on"
    with open(study.folder / LIBRARY / "wafers/ingest/folder.py", "a") as file:
        file.write("\nEXTRA = 1\n")
    made = computed(study, *arguments, targets=SPLITS)
    assert "ingest" in made and "gather_splits" not in made, "what imports the reader, and nothing after it"
    assert content(study, SPLITS) == before


def test_settings_there_and_back_are_computed_once_each(study: Study):
    first = content(study)
    for c in ("1", "2"):
        assert computed(study, "--config", f"set=svm.C={c}") == {"fit_svm": 5, "collect_scores": 1}
    for c in ("1", "10"):
        assert computed(study, "--config", f"set=svm.C={c}") == {}, f"back to C = {c}"
    assert content(study) == first


def test_a_result_deleted_or_damaged_is_there_again_and_sound(study: Study):
    table = study.results / "quality.parquet"
    sound = table.read_bytes()
    table.unlink()
    assert computed(study) == {} and table.read_bytes() == sound
    assert os.stat(table).st_nlink > 1, "the store's file is the same one"
    with open(table, "r+b") as file:  # in place, and so in the store, too
        file.seek(2000)
        file.write(b"damage")
    table.unlink()
    assert computed(study) == {"gather_quality": 1} and table.read_bytes() == sound


def test_a_package_upgraded_is_run_again_where_it_is_imported_alone(study: Study, tmp_path: Path, monkeypatch):
    from importlib.metadata import metadata

    folder = tmp_path / "peft-999.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        str(metadata("peft")).replace(f"Version: {metadata('peft')['Version']}", "Version: 999.0")
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert set(computed(study)) == {"train_lora", "sample_lora"}
    assert study.planned(*TABLES) == {}
    monkeypatch.undo()
    assert computed(study) == {}, "and back"


def test_a_store_that_is_cleared_keeps_what_the_study_shows(study: Study):
    said = study.snakemake("clean_store")
    assert "earlier results cleared" in said
    assert study.planned(*TABLES) == {}
    (study.results / "quality.parquet").unlink()
    assert computed(study) == {}, "the present results are still kept"
    assert computed(study, "--config", "set=svm.C=2")["fit_svm"] == 5, "the earlier ones are not"
