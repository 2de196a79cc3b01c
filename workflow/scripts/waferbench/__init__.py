"""The library behind the workflow. No module imports snakemake; each is usable from a notebook."""

import os

# Idle OpenMP threads sleep instead of spinning. Read once, when the first numeric library loads. Without it two jobs on
# two cores spin against each other: a small GAN trained 15 times slower beside another job.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
