"""A study whose folder, file, classes, lots and wafers have names made to do harm."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Study

from waferbench.base.artifacts import read_table
from waferbench.wafers.simulate.dataset import simulate

pytestmark = pytest.mark.workflow

FOLDER = 'it\'s; a "fo$lder" & `touch canary` $(touch canary) %s <b> שלום🧇'
FILE = 'da\'ta; "x" $(touch canary) `touch canary` %s.csv'
CLASSES = {
    "Center": "<script>alert(1)</script>\"'& {fold} %s",
    "Edge-Ring": "$(touch canary) `touch canary`; ../../x\\",
    "Scratch": "-שלום 🧇 e\u0301 $x^2$ {{ 7*7 }}",
}
WAFER = "<script>alert(2)</script>\"'; $(touch canary) `touch canary` ../../{fold} שלום🧇 -"
LOT = "</style><img src=x onerror=alert(3)>"
OVERLAYS = ("tests/config/tiny.yaml", "tests/config/hostile.yaml")
RESULTS = {".snakemake", "results"}


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, content: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def assert_harmless(page: Page) -> None:
    """No tag reacts to anything, and pictures come from the page itself."""
    assert not [tag for tag, given in page.tags if any(key.startswith("on") for key in given)]
    assert all(given["src"].startswith("data:") for tag, given in page.tags if tag == "img")


def write_dies(path: Path) -> None:
    """Thirty wafers of a class as a die list."""
    maps, names, _ = simulate({"Center": 30, "Edge-Ring": 30, "Scratch": 30}, seed=1, duplicates=0.1)
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["wafer", "x", "y", "bin", "lot", "class"])
        for i, (wafer, name) in enumerate(zip(maps, names, strict=True)):
            for y, x in zip(*np.nonzero(wafer), strict=True):
                rows.writerow([f"{WAFER}{i}", x, y, wafer[y, x], f"{LOT}{i // 20}", CLASSES[name]])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> tuple[Study, set[Path]]:
    """The finished study, and what lay around its results before."""
    study = Study.copy_workflow(tmp_path_factory.mktemp("hostile") / FOLDER)
    write_dies(study.folder / FILE)
    settings = {
        "dataset": {"source": "dielist", "path": FILE, "classes": list(CLASSES.values())},
        "oracle": {"reserve": 0.4},
    }
    (study.folder / "tests/config/hostile.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
    before = outside(study)
    study.snakemake(overlays=OVERLAYS)
    return study, before


def outside(study: Study) -> set[Path]:
    """All files of the study's folder and the one above, but for results and Snakemake's own."""
    files = (path for path in study.folder.parent.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path for path in files if not RESULTS & set(path.relative_to(study.folder.parent).parts)}


def test_nothing_was_run_and_nothing_written_outside_the_results(hostile):
    study, before = hostile
    assert outside(study) == before
    assert not list(study.folder.parent.rglob("canary*"))
    assert {path.name for path in (study.folder / "results").iterdir()} == {"tiny"}


def test_names_arrive_as_they_were_given(hostile):
    study, _ = hostile
    wafers = read_table(study.results / "data/wafers.parquet")
    assert set(wafers["class"]) == set(CLASSES.values()) and set(wafers["lot"]) == {f"{LOT}{i}" for i in range(5)}
    assert set(wafers["wafer_id"]) == {f"{WAFER}{i}" for i in range(90)}
    assert all(label.replace("-", "").isalnum() and label.isascii() for label in wafers["label"])
    assert set(read_table(study.results / "predictions.parquet")["wafer_id"]) <= set(wafers["wafer_id"])


def test_the_report_shows_names_and_runs_none(hostile):
    study, _ = hostile
    content = (study.results / "report.html").read_text(encoding="utf-8")
    page = Page(content)
    for name in CLASSES.values():
        assert name in page.text
    assert "{{ 7*7 }}" in page.text and WAFER in page.text
    assert [tag for tag, _ in page.tags].count("script") == 1 and "alert(" not in content.rpartition("<script>")[2]
    assert_harmless(page)
    assert json.dumps(list(CLASSES.values()))[1:20] not in content  # no bare JSON with tags in it


def test_predictions_and_provenance_of_hostile_names_run_none(hostile):
    study, before = hostile
    study.snakemake("predict", "--config", f"wafers={FILE}", overlays=OVERLAYS)
    (folder,) = (study.results / "predictions").iterdir()
    predicted = read_table(folder / "predictions.parquet")
    assert set(predicted["wafer_id"]) == {f"{WAFER}{i}" for i in range(90)}
    assert set(predicted["called"]) <= set(read_table(study.results / "data/wafers.parquet")["label"])
    (page,) = folder.glob("*.html")
    assert_harmless(Page(page.read_text(encoding="utf-8")))
    study.snakemake("provenance", overlays=OVERLAYS)
    crate = json.loads((study.results / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert FILE in {entity.get("location") for entity in crate["@graph"]}
    assert outside(study) == before and not list(study.folder.parent.rglob("canary*"))


def test_snakemakes_own_report_holds_no_tag_of_a_name(hostile):
    study, _ = hostile
    study.snakemake("--report", "results/workflow.html", overlays=OVERLAYS)
    content = (study.folder / "results/workflow.html").read_text(encoding="utf-8")
    assert "alert(1)" in content and "<script>alert(1)" not in content and "</script>\\" not in content


@pytest.mark.parametrize(
    "override, told",
    [
        ("study=../up", "study: found '../up'"),
        ("wafers=<b>.csv", "wafers: found '<b>.csv'"),
    ],
)
def test_what_cannot_work_is_refused_while_planning(hostile, override, told):
    study, _ = hostile
    assert told in study.snakemake("-n", "--config", override, overlays=OVERLAYS, expect=1)


def test_a_folder_that_snakemake_cannot_run_in_is_refused_by_its_name(hostile, tmp_path):
    study = Study.copy_workflow(tmp_path / "a{fold}")
    told = study.snakemake("-n", overlays=OVERLAYS[:1], expect=1)
    assert "the workflow's folder: found" in told and "rename the folder" in told
