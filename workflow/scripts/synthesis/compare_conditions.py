"""Makes the table of comparisons: each condition against `real` and against the baseline, over folds."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.engine.job import Job
from waferbench.statistics.comparisons import comparable, compare_conditions

with Job(snakemake) as job:
    scores = comparable(read_table(snakemake.input.scores), job.settings["leaky"])
    table = compare_conditions(scores, job.settings["baseline"], job.settings["confidence"])
    write_table(snakemake.output[0], table, job.provenance)
