"""Makes the tables of calibration and reliability: each cell's probabilities before and after temperature scaling."""

from waferbench.artifacts import read_table, write_table
from waferbench.job import Job
from waferbench.stats.calibration import calibrate
from waferbench.wafers import slugs

with Job(snakemake) as job:
    labels = {protocol: list(slugs(classes).values()) for protocol, classes in job.settings["classes"].items()}
    pairs = zip(snakemake.input.validation, snakemake.input.softmax, strict=True)
    calibration, reliability = calibrate(((read_table(a), read_table(b)) for a, b in pairs), labels)
    write_table(snakemake.output.calibration, calibration, job.provenance)
    write_table(snakemake.output.reliability, reliability, job.provenance)
