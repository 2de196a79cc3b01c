"""All benchmarks within a given number of minutes, shortest first; a row a figure in a CSV file.

python benchmarks/run.py --minutes 30
python benchmarks/run.py --minutes 60 --real wm811k_labelled.npz --study results/wm811k   (those with data, too)
python benchmarks/run.py --only generators --against FOLDER   (a checkout of another version, where it is compared)
python benchmarks/run.py --list

Rows are added as figures come, so that what ends this command loses no figure. A benchmark that would not end in time
is left out, one that fails says so in a row, and the others go on; the exit status is then 1. `benchmarks/page.py`
makes the tables of docs/benchmarks.md from the rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from common import FIGURES, ROOT

from waferbench.base.machine import processors
from waferbench.engine.version import VERSION

PACKAGES = ("torch", "torchvision", "timm", "diffusers", "numpy", "scikit-learn", "snakemake")
FIGURE = ("figure", "ours", "other", "unit", "against", "ratio")
MACHINE = ("device", "hardware", "python", *PACKAGES, "waferbench", "commit", "dirty")
COLUMNS = ("benchmark", "state", *FIGURE, "arguments", "seed", "seconds", "load", *MACHINE, "date")
SLACK = 4  # times the expected seconds that a benchmark may take, for slower machines


@dataclass(frozen=True)
class Benchmark:
    """A script with its arguments.

    ``seconds`` are what it takes on two cores of a server without a GPU, and a little more. ``data`` is the option of
    this command that gives the path which it takes last; without it, it is left out. ``also`` is an option of both that
    gives a path which it can do without. ``gpu`` holds its arguments where there is a GPU, on which small work says
    little: () for the same ones, None for what runs on processors everywhere.
    """

    name: str
    seconds: int
    arguments: tuple[str, ...] = ()
    script: str = ""
    data: str = ""
    also: str = ""
    gpu: tuple[str, ...] | None = None
    seed: int = 0

    def file(self) -> Path:
        return ROOT / "benchmarks" / f"{self.script or self.name}.py"

    def paths(self, given: Mapping[str, Path | None]) -> list[str]:
        """The arguments that are paths: rows do not tell them."""
        needed = [str(given[self.data])] if self.data else []
        return [f"--{self.also}", str(given[self.also]), *needed] if given.get(self.also) else needed


LARGE_SVM = ("--train", "15000", "--test", "5000")
STUDY = ("--overlay", "study")
SMALL_SVM = ("--train", "3000", "--test", "1000")
FEW = ("--steps", "24", "--repeats", "2", "--rounds", "1", "--samples", "32", "--pretraining", "30")
REAL_SIZE = ("--overlay", "wm811k", "--against-overlay", "wm811k-small", *FEW)  # its name up to 0.3.0
BENCHMARKS = (
    Benchmark("simulator_speed", 8),
    Benchmark("ingest_small", 8, ("--rows", "20000", "--labelled", "4000", "--pandas"), "ingest_lswmd"),
    Benchmark("svm_small", 20, SMALL_SVM, "ecoc_svm"),
    Benchmark("planning", 25, ("--skip-tiny",)),
    Benchmark("svm_without_memory", 30, (*SMALL_SVM, "--memory", "0.02"), "ecoc_svm"),
    Benchmark("depthwise_gradient", 40),
    Benchmark("frechet_distance", 40),
    Benchmark("lora_sampling", 40, gpu=(*STUDY, "--images", "128")),
    Benchmark("gan_iterations", 60, gpu=(*STUDY, "--iterations", "200", "--precision", "float32", "auto")),
    Benchmark("feature_extraction", 60, ("--images", "256"), gpu=("--images", "4096")),
    Benchmark("prediction", 90, gpu=("--wafers", "20000", "--precision", "auto")),
    Benchmark("planning_and_tiny_study", 110, script="planning", gpu=()),
    Benchmark("classifier_training", 120, ("--epochs", "1"), gpu=("--images", "8192", "--precision", "auto")),
    Benchmark("ingest_full", 120, script="ingest_lswmd"),
    Benchmark("sampler_steps", 240, data="study", gpu=()),
    Benchmark("generators", 300, also="against", gpu=(*STUDY, "--pretraining", "100", "--samples", "512")),
    Benchmark("generators_real_size", 330, REAL_SIZE, "generators", also="against", gpu=()),
    Benchmark("simulator_transfer", 400, ("--wafers", "8000", "--epochs", "4", "--threads", "2"), data="real"),
    Benchmark("reruns", 480, gpu=()),
    Benchmark("svm_large", 700, LARGE_SVM, "ecoc_svm"),
)  # fmt: skip


def gpu_name() -> str:
    """The GPU's name, "" without one; asked in a process of its own, as it would stay on the GPU."""
    ask = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    return subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()


def hardware() -> str:
    """Processors by their model, and memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{processors()} x {model}, {psutil.virtual_memory().total / 2**30:.0f} GB"


def git(*arguments: str) -> str:
    """What git says of this checkout; "" where it is none."""
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def machine() -> dict[str, str]:
    """What all rows share. ``dirty`` is "yes" where files differ from the commit."""
    facts = {"hardware": hardware(), "python": platform.python_version(), "waferbench": VERSION}
    facts |= {name: version(name) for name in PACKAGES}
    changed = git("status", "--porcelain", "--untracked-files=no")
    return {**facts, "commit": git("rev-parse", "HEAD"), "dirty": "yes" if changed else "no"}


@dataclass
class Rows:
    """The file of rows: each is on the disk as soon as it is known."""

    path: Path
    shared: dict[str, str]

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = self.path.open(newline="").readline().strip().split(",") if self.path.exists() else []
        if head and head != list(COLUMNS):
            sys.exit(f"{self.path}: found other columns than this version writes; move the file, or give another --out")
        if not head:
            self._write(dict(zip(COLUMNS, COLUMNS, strict=True)))

    def add(self, benchmark: Benchmark, state: str, **more: object) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        known = {"benchmark": benchmark.name, "state": state, "seed": benchmark.seed, "date": moment}
        self._write({**self.shared, **known, **more})

    def _write(self, row: dict) -> None:
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS, lineterminator="\n").writerow(row)


def figures(file: Path, seen: int) -> Iterator[dict]:
    """The figures that a benchmark has told after those that are known."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    yield from (json.loads(line) for line in lines[seen:] if line.endswith("\n"))


def end(process: subprocess.Popen) -> None:
    """End a benchmark with all that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def measure(
    benchmark: Benchmark, arguments: Sequence[str], paths: Sequence[str], limit: float, rows: Rows, device: str
) -> str:
    """Run one benchmark, its figures into ``rows`` as they come; "" or what went wrong."""
    start, told = time.monotonic(), 0
    about = {"arguments": " ".join(arguments), "device": device, "load": f"{os.getloadavg()[0]:.2f}"}

    def state() -> str | None:
        if process.poll() is not None:
            return f"failed: exit status {process.returncode}" if process.returncode else ""
        return f"failed: stopped after {limit:.0f} s" if time.monotonic() - start > limit else None

    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "figures"
        environment = {**os.environ, FIGURES: str(kept)}
        command = [sys.executable, str(benchmark.file()), *arguments, *paths]
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            wrong = None
            while wrong is None:
                time.sleep(0.1)
                wrong = state()
                for found in figures(kept, told):
                    seconds = f"{time.monotonic() - start:.1f}"
                    rows.add(benchmark, "measured", **found, **about, seconds=seconds)
                    told += 1
        finally:
            if process.poll() is None:
                end(process)
    if wrong:
        rows.add(benchmark, wrong, **about, seconds=f"{time.monotonic() - start:.1f}")
    return wrong


def run_all(chosen: list[Benchmark], minutes: float, data: dict[str, Path | None], rows: Rows) -> list[str]:
    """Shortest first, as many as fit; the names of those that failed."""
    until, gpu, failed = time.monotonic() + 60 * minutes, gpu_name(), []
    for benchmark in sorted(chosen, key=lambda b: b.seconds):
        on_gpu = bool(gpu) and benchmark.gpu is not None
        arguments = benchmark.gpu if on_gpu else benchmark.arguments
        left = until - time.monotonic()
        if benchmark.data and not data[benchmark.data]:
            skipped = f"left out: needs --{benchmark.data}"
        elif left < benchmark.seconds:
            skipped = f"left out: takes about {benchmark.seconds} s, {left:.0f} s are left"
        else:
            skipped = ""
        print(f"\n== {benchmark.name}: {skipped or f'about {benchmark.seconds} s'}", flush=True)
        if skipped:
            rows.add(benchmark, skipped)
            continue
        limit, device = min(left, SLACK * benchmark.seconds), gpu if on_gpu else "cpu"
        wrong = measure(benchmark, arguments, benchmark.paths(data), limit, rows, device)
        if wrong:
            print(f"{benchmark.name}: {wrong}", flush=True)
            failed.append(benchmark.name)
    return failed


def main() -> None:
    """Run what is asked for, and end with 1 where a benchmark failed."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="for all of them together")
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help="these alone (--list names all)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/out/rows.csv", help="where rows are added")
    parser.add_argument("--study", type=Path, help="results/<study> of a finished study with LoRA")
    parser.add_argument("--real", type=Path, help=".npz of real wafers")
    parser.add_argument("--against", type=Path, help="a checkout of another version, for its generators")
    parser.add_argument("--list", action="store_true", help="name them with their seconds, and end")
    args = parser.parse_args()
    chosen = [benchmark for benchmark in BENCHMARKS if not args.only or benchmark.name in args.only]
    if args.list:
        for benchmark in sorted(chosen, key=lambda b: b.seconds):
            needs = f"  --{benchmark.data}" if benchmark.data else ""
            print(f"{benchmark.name:24} {benchmark.seconds:5} s{needs}")
        return
    try:
        data = {"study": args.study, "real": args.real, "against": args.against}
        failed = run_all(chosen, args.minutes, data, Rows(args.out, machine()))
    except KeyboardInterrupt:
        sys.exit(f"\ninterrupted; the rows up to here: {args.out}")
    print(f"\nrows: {args.out}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; the reason stands above")


if __name__ == "__main__":
    main()
