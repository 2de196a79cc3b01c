"""The crate of a finished study makes a score again; status and doctor look at the same study."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OVERLAYS, Study

from helpers.workflow_copy import ROOT
from waferbench.base.files import digest

pytestmark = pytest.mark.workflow

CELL = "duplicate_cv5/seed42/fold0/cells/test_resnet.r160_in1k/real"


def rebuilt_from(crate: Path, archive: Path, folder: Path) -> Study:
    """A fresh folder with the crate's workflow and settings, and the data file of the digest that the crate names."""
    entities = {e["@id"]: e for e in json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]}
    shutil.copytree(crate / "code", folder)
    shutil.copy2(crate / "settings.yaml", folder)
    wafers = next(e for e in entities.values() if e.get("name") == "wafers")
    found = next(file for file in archive.iterdir() if digest(file) == wafers["sha256"])
    shutil.copy(found, folder / wafers["location"])  # with a time of its own
    return Study(folder)


def test_a_score_is_made_again_from_the_crate_alone(described: Study, tmp_path: Path):
    study = described.copy(tmp_path / "study")
    crate = shutil.move(study.results, tmp_path / "crate")
    for name in ("ro-crate-metadata.json", "settings.yaml"):
        assert str(described.folder) not in (crate / name).read_text(), "it names the folder that it was made in"
    archive = tmp_path / "archive"
    archive.mkdir()
    shutil.move(study.folder / "wafers.npz", archive / "some.name")
    (archive / "another").write_bytes(b"other wafers")
    shutil.rmtree(study.folder)
    again = rebuilt_from(crate, archive, tmp_path / "again")
    again.snakemake(f"results/tiny/{CELL}/ecoc_svm.parquet", overlays=("settings.yaml",))
    entities = {e["@id"]: e for e in json.loads((crate / "ro-crate-metadata.json").read_text())["@graph"]}
    for name in ("checkpoint.safetensors", "softmax.parquet", "ecoc_svm.parquet"):
        assert digest(again.results / CELL / name) == entities[f"{CELL}/{name}"]["sha256"], name
    weights = entities["code/resources/weights.yaml"]
    assert weights["sha256"] == digest(ROOT / "resources/weights.yaml")
    (pretrained,) = (e for e in entities.values() if e.get("license") == "Apache-2.0")
    assert pretrained["name"] == "tf_efficientnet_lite0" and pretrained["sha256"].startswith("57934424")


def test_an_unfinished_study_has_no_crate_and_its_status_says_what_is_left(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    (study.results / "ranks.parquet").unlink()
    output = study.snakemake("provenance", expect=1)
    assert "the study is not finished: " in output and "results/tiny/ranks.parquet" in output
    assert not (study.results / "ro-crate-metadata.json").exists()
    (study.results / "report.html").unlink()
    command = [sys.executable, "workflow/scripts/status.py", "--configfile", *OVERLAYS]
    text = subprocess.check_output(command, cwd=study.folder, text=True)
    stages = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert stages["make_report"][:2] == ["0", "1"] and stages["train_classifier"][0] == "5"
    assert max(map(len, text.splitlines())) <= 80 and "Left: about " in text


def test_the_doctor_names_a_torn_artifact_and_ends_with_an_error(finished: Study, tmp_path: Path):
    study = finished.copy(tmp_path / "study")
    for name in ("requirements.txt", "requirements.in"):
        shutil.copy2(ROOT / name, study.folder)
    (study.results / "scores.parquet").write_bytes(b"half")
    output = study.snakemake("doctor", expect=1)
    text = (study.results / "doctor.txt").read_text()
    problems = [line for line in text.splitlines() if line.startswith("problem")]
    assert len(problems) == 1 and "scores.parquet" in problems[0] and problems[0] in output
    assert "the largest rule (ingest) claims 6,000" in " ".join(text.split())
    assert "weights    tf_efficientnet_lite0: efficientnet-lite0-57934424.pth" in text
