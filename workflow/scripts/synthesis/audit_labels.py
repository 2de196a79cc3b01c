"""Makes the table of suspicious labels, from the out-of-fold probabilities of networks trained on real wafers alone."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.names import labels_by_protocol
from waferbench.engine.job import Job
from waferbench.statistics.label_noise import audit_labels

with Job(snakemake) as job:
    labels = labels_by_protocol(job.settings["classes"])
    cells = (read_table(path) for path in snakemake.input.softmax)
    write_table(snakemake.output[0], audit_labels(cells, labels, job.settings["condition"]), job.provenance)
