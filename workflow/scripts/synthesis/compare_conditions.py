"""Makes the table of comparisons: each condition against `real`, the baseline and repeated wafers, over folds."""

from waferbench.config.synthesis.stages import CompareConditions
from waferbench.engine.job import Job, run


def compare(job: Job[CompareConditions]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.statistics.comparisons import comparable, compare_conditions

    settings = job.settings
    scores = comparable(read_table(job.input.scores), settings.leaky)
    table = compare_conditions(scores, settings.baseline, settings.confidence, settings.references)
    write_table(job.output.comparisons, table, job.provenance)


run(compare, snakemake, CompareConditions)
