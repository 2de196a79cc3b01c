"""Makes the study's score tables from the predictions of its cells: predictions, scores, scores per class."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.names import labels_by_protocol
from waferbench.classification.scores import collect
from waferbench.engine.job import Job

with Job(snakemake) as job:
    labels = labels_by_protocol(job.settings["classes"])
    predictions, scores, per_class = collect((read_table(path) for path in snakemake.input.cells), labels)
    write_table(snakemake.output.predictions, predictions, job.provenance)
    write_table(snakemake.output.scores, scores, job.provenance)
    write_table(snakemake.output.per_class, per_class, job.provenance)
