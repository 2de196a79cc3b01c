"""Makes the table of intervals over test wafers: of every score, and of the differences that the report shows."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.names import labels_by_protocol
from waferbench.engine.job import Job
from waferbench.statistics.gains import steps
from waferbench.statistics.intervals import wafer_intervals

with Job(snakemake) as job:
    settings = job.settings
    conditions = {condition["name"]: condition for condition in settings["conditions"]}
    table = wafer_intervals(
        read_table(snakemake.input.predictions),
        labels_by_protocol(settings["classes"]),
        settings["baseline"],
        settings["leaky"],
        [(condition, reference) for _, condition, reference in steps(conditions)],
        settings["bootstrap"],
        settings["confidence"],
        settings["seed"],
    )
    write_table(snakemake.output[0], table, job.provenance)
