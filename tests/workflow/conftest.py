"""One finished tiny study, made once, that the workflow tests look at and edit copies of."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from helpers.planner import Planner
from helpers.workflow_copy import copy_workflow
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.store import WaferStore

OVERLAYS = ("tests/config/tiny.yaml", "tests/config/npz.yaml")
UNPLUGGED = ("unshare", "--map-root-user", "--net")
CLASSES = ["Center", "Edge-Ring", "Scratch", "none"]
PLANNER = Planner()
os.environ.pop("PYTHONPATH", None)  # what a patched Python computes is not kept


class Study:
    """A copy of the workflow in a folder of its own, and how to run it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.results = folder / "results" / "tiny"

    @classmethod
    def copy_workflow(cls, folder: Path) -> "Study":
        copy_workflow(folder)
        return cls(folder)

    def copy(self, folder: Path) -> "Study":
        """A copy with the same modification times, so that nothing in it looks new."""
        subprocess.run(["cp", "-a", f"{self.folder}/.", folder], check=True)
        return Study(folder)

    def fresh(self, folder: Path) -> "Study":
        """The same workflow and data without results."""
        skip = shutil.ignore_patterns("results", ".snakemake", "__pycache__")
        shutil.copytree(self.folder, folder, ignore=skip)
        return Study(folder)

    def command(self, *arguments: str, overlays: tuple = OVERLAYS) -> list[str]:
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", "gpu=1"]
        return [*command, "--configfile", *overlays]

    def start(self, *arguments: str) -> subprocess.Popen:
        """Run Snakemake in the background."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(self.command(*arguments), cwd=self.folder, **pipes)

    def snakemake(self, *arguments: str, overlays: tuple = OVERLAYS, expect: int = 0, within: tuple = ()) -> str:
        """Run Snakemake with overlays, `within` another command; its combined output. Dry runs are forks (Planner)."""
        command = [*within, *self.command(*arguments, overlays=overlays)]
        forked = PLANNER.run(self.folder, command[3:]) if "-n" in arguments and not within else None
        status, output = forked or as_a_process(command, self.folder)
        assert status == expect, output[-8000:]
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


def as_a_process(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit status and combined output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def artifacts(study: Study) -> dict[str, bytes]:
    """What a study wrote by its path, but for run records, logs and the page, which tell how long jobs took."""
    skip = ("runs", "logs", ".checkpoints", ".store", "report.html", "index.html")
    files = {str(p.relative_to(study.results)): p for p in study.results.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for name, p in files.items() if name.split("/")[0] not in skip}


def differing(study: Study, other: Study) -> list[str]:
    """Artifacts that two studies do not share byte for byte."""
    mine, theirs = artifacts(study), artifacts(other)
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def may_unplug() -> bool:
    """Whether this machine allows a namespace without a network."""
    return subprocess.run([*UNPLUGGED, "true"], capture_output=True).returncode == 0


def as_anybody() -> tuple[str, ...]:
    """What holds a command to the rights of files where the tests run as root, who is else held to none."""
    held = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    if subprocess.run([*held, "true"], capture_output=True).returncode:
        pytest.skip("root may not drop its own rights here (setpriv --bounding-set)")
    return held


def write_npz(path: Path, seed: int = 1) -> None:
    """A small data file in the ragged layout."""
    counts = {"Center": 30, "Edge-Ring": 40, "Scratch": 20, "none": 10}
    maps, names, _ = simulate(counts, seed=seed, duplicates=0.1)
    store = WaferStore.of(maps)
    label = np.array([CLASSES.index(name) for name in names], np.int8)
    np.savez(path, flat=store.flat, offsets=store.offsets, shapes=store.shapes, label=label, classes=np.array(CLASSES))


def overlay(file: str) -> str:
    """Settings of a study on a data file, of whose training wafers some are kept for the oracle."""
    return f"dataset: {{source: npz, path: {file}}}\noracle: {{reserve: 0.4}}\n"


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Study:
    """The tiny study on a data file, run to its end, with the network unplugged where this machine allows that.

    Where the variable FINISHED_STUDY names a folder, tests of one commit share it there.
    """
    shared, folder = os.environ.get("FINISHED_STUDY"), tmp_path_factory.mktemp("finished")
    if shared and Path(shared).is_dir():
        return Study(Path(shared)).copy(folder)
    study = Study.copy_workflow(folder)
    write_npz(study.folder / "wafers.npz")
    (study.folder / "tests/config/npz.yaml").write_text(overlay("wafers.npz"))
    study.snakemake("everything", within=UNPLUGGED if may_unplug() else ())
    if shared:
        making = study.copy(Path(f"{shared}-{os.getpid()}"))
        with suppress(OSError):  # another was quicker
            making.folder.rename(shared)
    return study


@pytest.fixture(scope="session")
def described(finished: Study, tmp_path_factory) -> Study:
    """A copy of the finished study with its provenance, to look at."""
    study = finished.copy(tmp_path_factory.mktemp("described") / "study")
    study.snakemake("provenance")
    return study
