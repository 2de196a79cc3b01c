"""What a change of a finished study costs: one without effect, and one that is taken back.

python benchmarks/reruns.py
The workflow is copied to a temporary folder and the default study is run there. `--tiny` takes the study of the tests.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from common import copy_workflow, figure, snakemake

READER = "workflow/scripts/waferbench/wafers/simulate/dataset.py"


def records(folder: Path) -> dict[Path, str]:
    """The run records of all parts of all jobs."""
    return {path: path.read_text() for path in folder.glob("results/*/runs/*.json")}


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true")
    study = ["--configfile", "tests/config/tiny.yaml"] if parser.parse_args().tiny else []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_workflow(folder)

        def run(what: str, *arguments: str, against: str = "", other: float | None = None) -> float:
            before = records(folder)
            seconds, _, _ = snakemake(folder, *study, *arguments)
            after = records(folder)
            made = [json.loads(text) for path, text in after.items() if before.get(path) != text]
            figure(what, seconds, "s", other, against)
            figure(f"{what}: computed", sum("fetched" not in record for record in made), "steps")
            figure(f"{what}: taken", sum("fetched" in record for record in made), "steps")
            return seconds

        whole = run("the study")
        run("nothing to do")
        there = run("svm.C = 1", "--config", "set=svm.C=1")
        run("and back to 10", against="svm.C = 1, computed", other=there)
        with open(folder / READER, "a") as file:
            file.write("\nWITHOUT_EFFECT = 1\n")
        run("an edit without effect in what ingest imports", against="the study, computed", other=whole)


if __name__ == "__main__":
    main()
