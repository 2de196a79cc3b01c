"""The worked example of docs/extending.md: its code is taken out of the page, added to a copy, and run."""

import re
from pathlib import Path

import pytest
from conftest import Study

from helpers.workflow_copy import ROOT
from waferbench.base.artifacts import read_table

pytestmark = pytest.mark.workflow
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
OVERLAYS = ("tests/config/tiny.yaml", "config/rings.yaml", "tests/config/rings.yaml")


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "docs/extending.md").read_text())


def add(folder: Path, text: str) -> str:
    """A new file: its path is the comment in the first line."""
    first, _, rest = text.partition("\n")
    path = folder / first.removeprefix("# ")
    assert not path.exists(), path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rest)
    return first


def apply(folder: Path, text: str) -> str:
    """A change to a file, as a diff: its old lines must stand there once."""
    head, _, hunk = text.partition("\n@@")
    path = folder / re.search(r"^\+\+\+ b/(\S+)", head, re.M)[1]
    lines = hunk.splitlines()[1:]
    old = "\n".join(line[1:] for line in lines if line[:1] in ("-", " ", ""))
    new = "\n".join(line[1:] for line in lines if line[:1] in ("+", " ", ""))
    content = path.read_text()
    assert content.count(old) == 1, f"docs/extending.md changes what does not stand in {path}: {old}"
    path.write_text(content.replace(old, new))
    return str(path)


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Study:
    study = Study.copy_workflow(tmp_path_factory.mktemp("extended"))
    for kind, text in blocks():
        if kind == "diff":
            apply(study.folder, text)
        elif text.startswith("# ") and "/" in text.splitlines()[0]:
            add(study.folder, text)
    (study.folder / "tests/config/rings.yaml").write_text(
        "study: rings\nconditions: [real, rings]\nbaseline: real\nquality: {judge: {condition: real}}\n"
    )
    return study


def test_the_example_has_its_parts():
    added = [text.splitlines()[0] for kind, text in blocks() if kind != "diff"]
    assert sum(line.startswith("# workflow/") for line in added) >= 5 and "# config/rings.yaml" in added
    assert sum(kind == "diff" for kind, _ in blocks()) == 2


def test_a_study_with_the_new_source_runs_to_its_page(extended: Study):
    extended.snakemake(overlays=OVERLAYS)
    results = extended.folder / "results/rings"
    assert set(read_table(results / "quality.parquet")["source"]) == {"rings"}
    scores = read_table(results / "scores.parquet")
    assert scores[scores["condition"] == "rings"]["n_train_synthetic"].min() > 0
    assert "rings" in (results / "report.html").read_text()


def test_its_settings_are_held_to_its_model(extended: Study):
    told = extended.snakemake("-n", "--config", "set=define.sources.rings.ringz=3", overlays=OVERLAYS, expect=1)
    assert "did you mean 'rings'?" in told
    fits = extended.planned("--config", "set=define.sources.rings.rings=4", overlays=OVERLAYS)
    assert {"fit_ring_rates", "sample_ring_rates"} <= set(fits) and "make_folds" not in fits
