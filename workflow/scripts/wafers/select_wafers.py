"""Makes the table of the wafers under study: the configured classes, each at most so many."""

from waferbench.config.stages import SelectWafers
from waferbench.engine.job import Job, run


def select(job: Job[SelectWafers]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.wafers.table import select_wafers

    selected = select_wafers(read_table(job.input.wafers), job.settings.classes, job.settings.max_per_class)
    write_table(job.output.selected, selected, job.provenance)


run(select, snakemake, SelectWafers)
