"""A second track, added to a copy of the workflow as docs/extending.md says: new files, and lines of the Snakefile."""

import json
import subprocess
import sys

import pandas as pd
import pytest
from conftest import Study

from helpers.pages import parsed

pytestmark = pytest.mark.workflow
OVERLAYS = ("tests/config/tiny.yaml",)
LIBRARY = "workflow/scripts/waferbench"
FILES = {
    f"{LIBRARY}/config/counting/__init__.py": '"""Settings of the counting track."""\n',
    f"{LIBRARY}/config/counting/settings.py": '''"""Settings of the counting track."""

from waferbench.config.section import Count, Section


class Counting(Section):
    """How wafers are counted."""

    least: Count = 1
    """Wafers that a class must have to be shown."""


class CountWafers(Section):
    """What counting reads."""

    counting: Counting
''',
    f"{LIBRARY}/tracks/counting.py": '''"""The counting track."""

from waferbench.config.counting.settings import Counting
from waferbench.tools.doctor import OK, Finding
from waferbench.tracks import Track

TRACK = Track(
    name="counting",
    target="counting",
    question="How many wafers are there of each class?",
    settings=Counting,
    section="counting",
    page="counting/report.html",
    tables={"counting/counts": ("label", "n")},
    doctor=lambda settings: {"fingers": lambda: [Finding(OK, "fingers", "ten")]},
)
''',
    "config/counting.yaml": "counting:\n  least: 1   # wafers that a class must have to be shown\n",
    "workflow/report/counting/report.html.j2": "<!doctype html><title>Counts</title><p>{{ classes }} classes</p>\n",
    "workflow/scripts/counting/count_wafers.py": '''"""Makes the table of wafers a class, and its page."""

from waferbench.config.counting.settings import CountWafers
from waferbench.engine.job import Job, run


def count(job: Job[CountWafers]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.report.kit.page import TEMPLATES, fill

    table = read_table(job.input.wafers).groupby("label").size().rename("n").reset_index()
    table = table[table["n"] >= job.settings.counting.least]
    write_table(job.output.counts, table, job.provenance)
    fill(TEMPLATES / "counting/report.html.j2", job.output.page, {"classes": len(table)})


run(count, snakemake, CountWafers)
''',
    "workflow/rules/counting/counting.smk": """from waferbench.config.counting.settings import CountWafers


rule count_wafers:
    input:
        wafers=rules.ingest.output.wafers,
    output:
        counts=f"{STUDY}/counting/counts.parquet",
        page=f"{STUDY}/counting/report.html",
    log:
        f"{LOGS}/count_wafers.log",
    conda:
        "../../../envs/base.yaml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        settings=pack(CountWafers),
        code=code("counting/count_wafers"),
    script:
        "../../scripts/counting/count_wafers.py"


rule counting:
    input:
        rules.count_wafers.output,
""",
}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    study = Study.copy_workflow(tmp_path_factory.mktemp("counting"))
    for name, text in FILES.items():
        path = study.folder / name
        assert not path.exists(), "a track is new files"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    snakefile = study.folder / "Snakefile"
    mark = "# What looks at a study, whatever its tracks.\n"
    text = snakefile.read_text()
    assert text.count(mark) == 1
    snakefile.write_text(text.replace(mark, f'include: "workflow/rules/counting/counting.smk"\n\n\n{mark}'))
    study.snakemake("counting", overlays=OVERLAYS)
    return study


def test_its_target_makes_its_table_and_page_and_nothing_of_other_tracks(study: Study):
    table = pd.read_parquet(study.results / "counting/counts.parquet")
    assert list(table) == ["label", "n"] and table["n"].sum() == 100
    assert not (study.results / "report.html").exists()
    assert set(study.planned("counting", "--config", "set=counting.least=2", overlays=OVERLAYS)) >= {"count_wafers"}


def test_everything_holds_both_and_the_default_stays_what_it_is(study: Study):
    everything = study.planned("everything", overlays=OVERLAYS)
    assert "make_report" in everything and "count_wafers" not in everything, "it is made"
    assert everything.pop("everything") == 1 and study.planned(overlays=OVERLAYS) == everything


def test_the_page_of_pages_links_it_and_says_how_to_make_the_other(study: Study):
    index = (study.results / "index.html").read_text()
    parsed(index, links=["counting/report.html"])
    assert 'href="counting/report.html"' in index and "How many wafers are there of each class?" in index
    assert "snakemake all" in index or "snakemake --cores" in index


def test_its_settings_are_read_from_its_file_and_strict(study: Study):
    told = study.snakemake("-n", "counting", "--config", "set=counting.leest=2", overlays=OVERLAYS, expect=1)
    assert "did you mean 'least'?" in told
    (study.folder / "config/counting.yaml").write_text("counting:\n  least: 0\n")
    told = study.snakemake("-n", "counting", overlays=OVERLAYS, expect=1)
    assert "counting.least: found 0, expected at least 1" in told
    (study.folder / "config/counting.yaml").write_text(FILES["config/counting.yaml"])


def test_the_doctor_looks_at_what_it_adds_and_the_schema_knows_its_keys(study: Study):
    study.snakemake("doctor", overlays=OVERLAYS)
    assert "fingers" in (study.results / "doctor.txt").read_text()
    subprocess.run([sys.executable, "workflow/scripts/schema.py"], cwd=study.folder, check=True)
    schema = json.loads((study.folder / "config/schema.json").read_text())
    assert "counting" in schema["properties"]
