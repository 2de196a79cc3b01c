"""Makes the table of the wafers under study: the configured classes, each at most so many.

Settings: ``classes``, ``max_per_class``.
"""

from waferbench.base.artifacts import read_table, write_table
from waferbench.engine.job import Job
from waferbench.wafers.ingest.table import select_wafers

with Job(snakemake) as job:
    wafers = read_table(snakemake.input.wafers)
    selected = select_wafers(wafers, job.settings["classes"], job.settings["max_per_class"])
    write_table(snakemake.output[0], selected, job.provenance)
