"""Makes the tables of calibration and reliability: each cell's probabilities before and after temperature scaling."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.names import labels_by_protocol
from waferbench.engine.job import Job
from waferbench.statistics.calibration import calibrate

with Job(snakemake) as job:
    labels = labels_by_protocol(job.settings["classes"])
    pairs = zip(snakemake.input.validation, snakemake.input.softmax, strict=True)
    calibration, reliability = calibrate(((read_table(a), read_table(b)) for a, b in pairs), labels)
    write_table(snakemake.output.calibration, calibration, job.provenance)
    write_table(snakemake.output.reliability, reliability, job.provenance)
