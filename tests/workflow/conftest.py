"""One finished tiny study, made once, that the workflow tests look at and edit copies of."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from waferbench.simulate.dataset import simulate
from waferbench.wafers import WaferStore

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config", "workflow", "profiles", "resources", "envs", "tests/config")
OVERLAYS = ("tests/config/tiny.yaml", "tests/config/npz.yaml")
CLASSES = ["Center", "Edge-Ring", "Scratch", "none"]


class Study:
    """A copy of the workflow in a folder of its own, and how to run it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.results = folder / "results" / "tiny"

    @classmethod
    def copy_workflow(cls, folder: Path) -> "Study":
        for part in PARTS:
            target = folder / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / part, target)
        return cls(folder)

    def copy(self, folder: Path) -> "Study":
        """A copy with the same modification times, so that nothing in it looks new."""
        subprocess.run(["cp", "-a", f"{self.folder}/.", folder], check=True)
        return Study(folder)

    def snakemake(self, *arguments: str, overlays: tuple = OVERLAYS, expect: int = 0) -> str:
        """Run Snakemake with overlays; its combined output."""
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", "gpu=1"]
        command += ["--configfile", *overlays]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        output = done.stdout + done.stderr
        assert done.returncode == expect, output[-8000:]
        return output

    def planned(self, *arguments: str, overlays: tuple = OVERLAYS) -> dict[str, int]:
        """Rule -> number of jobs that a dry run would run, `all` left out."""
        lines = self.snakemake("-n", *arguments, overlays=overlays).splitlines()
        if "Job stats:" not in lines:
            assert any("Nothing to be done" in line for line in lines), lines
            return {}
        table = lines[lines.index("Job stats:") + 3 :]
        rows = [line.split() for line in table[: next(i for i, line in enumerate(table) if line.startswith("total"))]]
        return {name: int(count) for name, count in rows if name != "all"}


def write_npz(path: Path, seed: int = 1) -> None:
    """A small data file in the ragged layout."""
    counts = {"Center": 30, "Edge-Ring": 40, "Scratch": 20, "none": 10}
    maps, names, _ = simulate(counts, seed=seed, duplicates=0.1)
    store = WaferStore.of(maps)
    label = np.array([CLASSES.index(name) for name in names], np.int8)
    np.savez(path, flat=store.flat, offsets=store.offsets, shapes=store.shapes, label=label, classes=np.array(CLASSES))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Study:
    """The tiny study on a data file, run to its end."""
    study = Study.copy_workflow(tmp_path_factory.mktemp("finished"))
    write_npz(study.folder / "wafers.npz")
    (study.folder / "tests/config/npz.yaml").write_text("dataset: {source: npz, path: wafers.npz}\n")
    study.snakemake()
    return study
