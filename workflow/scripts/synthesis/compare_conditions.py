"""Makes the table of comparisons: each condition against `real` and against the baseline, over folds."""

from waferbench.config.synthesis.stages import Compared
from waferbench.engine.job import Job, run


def compare(job: Job[Compared]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.statistics.comparisons import comparable, compare_conditions

    settings = job.settings
    scores = comparable(read_table(job.input.scores), settings.leaky)
    table = compare_conditions(scores, settings.baseline, settings.confidence)
    write_table(job.output.comparisons, table, job.provenance)


run(compare, snakemake, Compared)
