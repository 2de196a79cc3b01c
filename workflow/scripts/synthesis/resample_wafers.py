"""Makes the table of intervals over test wafers: of every score, and of the differences that the report shows."""

from waferbench.config.synthesis.stages import ResampleWafers
from waferbench.engine.job import Job, run


def resample(job: Job[ResampleWafers]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_by_protocol
    from waferbench.statistics.gains import steps
    from waferbench.statistics.intervals import wafer_intervals

    settings = job.settings
    table = wafer_intervals(
        read_table(job.input.predictions),
        labels_by_protocol(settings.classes),
        settings.baseline,
        settings.leaky,
        [(condition, reference) for _, condition, reference in steps(settings.conditions)],
        settings.bootstrap,
        settings.confidence,
        settings.seed,
    )
    write_table(job.output.intervals, table, job.provenance)


run(resample, snakemake, ResampleWafers)
