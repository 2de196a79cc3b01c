"""What the benchmarks share: the library's place, timing, figures."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from waferbench.config.synthesis.sources import Source

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config", "workflow", "profiles", "resources", "envs", "tests/config")  # all that Snakemake reads
FIGURES = "WAFERBENCH_FIGURES"
"""Environment variable: the file that figures are appended to, a JSON object a line (``run.py`` sets it)."""
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
if FIGURES in os.environ:  # started by run.py
    from waferbench.base.machine import end_with_parent

    end_with_parent()


def best_of(repeats: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of some runs, and what the last one returned. A GPU is waited for."""
    import torch

    seconds, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def source_settings(name: str, overlay: str) -> Source:
    """The settings of a source, as the study with this overlay of ``config/`` has them."""
    from waferbench.config.resolve import resolve
    from waferbench.config.synthesis.settings import SynthesisSettings

    written = yaml.safe_load((ROOT / f"config/{overlay}.yaml").read_text())
    return resolve(written, SynthesisSettings).define.sources[name]


def figure(name: str, value: float, unit: str, other: float | None = None, against: str = "") -> None:
    """One figure: printed, and kept where ``run.py`` asks for it.

    Args:
        name: of what was measured.
        value: of this library.
        unit: "s", "ms", "MB" and the like; "wafers/s" where more is better; "" for a number without one.
        other: of the other way, in the same unit. The ratio says how many times better this library is.
        against: what the other way is.
    """
    told = f"{name}: {value:.4g} {unit}".rstrip()
    ratio = None
    if other is not None:
        ratio = value / other if unit.endswith("/s") else other / value
        told += f"; {against}: {other:.4g} {unit}; ratio {ratio:.3g}"
    print(told, flush=True)
    if file := os.environ.get(FIGURES):
        row = {"figure": name, "unit": unit, "ours": float(value), "other": other, "against": against, "ratio": ratio}
        with open(file, "a") as lines:
            lines.write(json.dumps(row) + "\n")


def commit() -> str:
    """The one that is checked out, with a plus where what a study reads was changed since."""
    git, read = ["git", "-C", str(ROOT)], ["workflow", "Snakefile", "config", "resources"]
    found = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
    changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", *read], check=False).returncode
    return found.stdout.strip() + ("+" if changed else "")


def copy_workflow(folder: Path) -> None:
    """The workflow as it is here, in another folder."""
    for part in PARTS:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, folder / part)


def snakemake(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Seconds, processor seconds and output of one call."""
    command = [sys.executable, "-m", "snakemake", "--cores", "8", "--resources", "gpu=1", *arguments]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, done.stdout + done.stderr


def say_device() -> None:
    """The device and the threads that the figures are of."""
    import torch

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    print(f"device {where}, torch {torch.__version__}", flush=True)


def peak_memory(what: str) -> None:
    """Peak memory of the process up to now, and of the GPU where one was used; ``what`` has run so far."""
    figure(f"peak memory, {what}", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MB")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        figure(f"peak memory of the GPU, {what}", torch.cuda.max_memory_allocated() / 2**20, "MB")
