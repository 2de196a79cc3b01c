"""What a job's process sets for itself before anything heavy is imported."""

from __future__ import annotations

import gc
import os
import sys
from typing import Any

from waferbench.base.machine import end_with_parent, keep_freed_memory


def prepare(snakemake: Any) -> None:
    """Set up this process. Only one that Snakemake started for a script ends with the Snakemake that started it."""
    # How long idle OpenMP threads spin before they sleep; read once, when the first numeric library loads. The default,
    # hundreds of thousands of turns, is good for a process alone on its processors; two jobs on two cores spin against
    # each other and train twenty times slower. Sleeping at once costs a lone job half its speed.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # Importing torch and timm makes a million objects and no garbage: looking for some takes a seventh of a short job.
    gc.set_threshold(100_000, 50, 50)
    keep_freed_memory()
    if is_script_of(snakemake):
        end_with_parent()


def is_script_of(snakemake: Any) -> bool:
    """Whether this process is one that Snakemake started for this job, and nobody's notebook or test."""
    return getattr(sys.modules["__main__"], "snakemake", None) is snakemake


def leave(snakemake: Any) -> None:
    """End the process where Snakemake started it for this job: all is written, and taking torch's modules apart one by
    one would add a second to each job."""
    if is_script_of(snakemake):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
