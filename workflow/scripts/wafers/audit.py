"""Makes the audit table: class counts, copies, mirror images, shared lots and contradictory labels, fold by fold."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.engine.job import Job
from waferbench.wafers.audit import audit

with Job(snakemake) as job:
    tables = [read_table(path) for path in (snakemake.input.wafers, snakemake.input.selected, snakemake.input.folds)]
    write_table(snakemake.output[0], audit(*tables), job.provenance)
