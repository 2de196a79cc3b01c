"""How long Snakemake plans: a dry run of a large study, and a run of a finished one in which nothing is to be done.

python benchmarks/planning.py --overlay study
The workflow is copied to a temporary folder; a small made-up data file stands for the large study's own. `--skip-tiny`
leaves out the finished study, a tiny one, which takes some minutes to make.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import copy_workflow, figure, snakemake

from waferbench.wafers.simulate.dataset import CLASSES, simulate
from waferbench.wafers.store import WaferStore


def write_npz(path: Path) -> None:
    """A data file with all classes; a dry run reads nothing of it but its size and time."""
    maps, names, _ = simulate({name: 5 for name in CLASSES}, 0)
    store, label = WaferStore.of(maps), np.array([CLASSES.index(name) for name in names], np.int8)
    arrays = {"flat": store.flat, "offsets": store.offsets, "shapes": store.shapes}
    np.savez(path, **arrays, label=label, classes=np.array(CLASSES))


def seconds_of(what: str, runs: list[tuple[float, float, str]]) -> None:
    """The fastest call, and the processor seconds of the leanest, which other work on the machine moves less."""
    figure(what, min(seconds for seconds, _, _ in runs), "s")
    figure(f"{what}, processor seconds", min(used for _, used, _ in runs), "s")


def jobs(output: str) -> int:
    """How many jobs a dry run has planned."""
    return next((int(line.split()[1]) for line in output.splitlines() if line.startswith("total ")), 0)


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--overlay", default="study", help="of config/, the large study")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--skip-tiny", action="store_true", help="leave out the finished study")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_workflow(folder)
        write_npz(folder / "wafers.npz")
        data = ["--config", "set=dataset.source=npz dataset.path=wafers.npz"]
        large = ["-n", "--configfile", f"config/{args.overlay}.yaml", *data]
        runs = [snakemake(folder, *large) for _ in range(args.repeats)]
        seconds_of(f"dry run of {args.overlay}.yaml, {jobs(runs[0][2])} jobs", runs)
        if not args.skip_tiny:
            tiny = ["--configfile", "tests/config/tiny.yaml"]
            seconds_of("the tiny study of the tests", [snakemake(folder, *tiny)])
            runs = [snakemake(folder, *tiny) for _ in range(args.repeats)]
            if not all("Nothing to be done" in output for _, _, output in runs):
                sys.exit("the finished study was not finished")
            seconds_of("a finished tiny study, nothing to do", runs)
        figure("peak memory, Snakemake", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, "MB")


if __name__ == "__main__":
    main()
