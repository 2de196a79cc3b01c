"""Makes the tables of calibration and reliability: each cell's probabilities before and after temperature scaling."""

from waferbench.config.synthesis.stages import Scored
from waferbench.engine.job import Job, run


def calibrate_cells(job: Job[Scored]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_by_protocol
    from waferbench.statistics.calibration import calibrate

    labels = labels_by_protocol(job.settings.classes)
    pairs = zip(job.input.validation, job.input.softmax, strict=True)
    calibration, reliability = calibrate(((read_table(a), read_table(b)) for a, b in pairs), labels)
    write_table(job.output.calibration, calibration, job.provenance)
    write_table(job.output.reliability, reliability, job.provenance)


run(calibrate_cells, snakemake, Scored)
