"""Makes the table of suspicious labels, from the out-of-fold probabilities of networks trained on real wafers alone."""

from waferbench.config.synthesis.stages import AuditLabels
from waferbench.engine.job import Job, run


def audit(job: Job[AuditLabels]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_by_protocol
    from waferbench.statistics.label_noise import audit_labels

    labels = labels_by_protocol(job.settings.classes)
    cells = (read_table(path) for path in job.input.softmax)
    write_table(job.output.label_noise, audit_labels(cells, labels, job.settings.condition), job.provenance)


run(audit, snakemake, AuditLabels)
