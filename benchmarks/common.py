"""What the benchmarks share: the library's place, timing, peak memory, one line a figure."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from waferbench.config.synthesis.sources import Source

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))


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


def say(name: str, value: float, form: str = ".3g") -> None:
    """One figure."""
    print(f"{name} {value:{form}}", flush=True)


def say_hardware() -> None:
    """The device and the threads that the figures are of."""
    import torch

    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu, {torch.get_num_threads()} threads"
    print(f"device {where}, torch {torch.__version__}", flush=True)


def say_peak_memory(so_far: str = "") -> None:
    """Peak memory of the process up to now, and of the GPU where there is one; ``so_far`` says what has run."""
    import torch

    say(f"{so_far}peak_memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, ".0f")
    if torch.cuda.is_available():
        say(f"{so_far}gpu_peak_memory_mb", torch.cuda.max_memory_allocated() / 2**20, ".0f")
