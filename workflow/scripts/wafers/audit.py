"""Makes the audit table: class counts, copies, mirror images, shared lots and contradictory labels, fold by fold."""

from waferbench.config.stages import Run
from waferbench.engine.job import Job, run


def audit_splits(job: Job[Run]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.wafers.audit import audit

    tables = [read_table(path) for path in (job.input.wafers, job.input.selected, job.input.folds)]
    write_table(job.output.audit, audit(*tables), job.provenance)


run(audit_splits, snakemake, Run)
