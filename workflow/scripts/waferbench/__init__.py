"""The library behind the workflow. No module imports snakemake; each is usable from a notebook."""

import gc
import os
import sys

from waferbench.base.machine import end_with_parent

# How long idle OpenMP threads spin before they sleep; read once, when the first numeric library loads. The default,
# hundreds of thousands of turns, is good for a process alone on its processors; two jobs on two cores spin against each
# other and train twenty times slower. Sleeping at once costs a lone job half its speed.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# Importing torch and timm makes a million objects and no garbage: looking for some takes a seventh of a short job.
gc.set_threshold(100_000, 50, 50)

# A job of Snakemake's, and nobody's notebook: before anything heavy is imported, so that no moment is left.
if hasattr(getattr(sys.modules["__main__"], "snakemake", None), "params"):
    end_with_parent()
