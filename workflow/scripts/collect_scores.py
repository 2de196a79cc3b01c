"""Makes the study's score tables from the predictions of its cells: predictions, scores, scores per class."""

from waferbench.artifacts import read_table, write_table
from waferbench.job import Job
from waferbench.names import labels_by_protocol
from waferbench.scores import collect

with Job(snakemake) as job:
    labels = labels_by_protocol(job.settings["classes"])
    predictions, scores, per_class = collect((read_table(path) for path in snakemake.input.cells), labels)
    write_table(snakemake.output.predictions, predictions, job.provenance)
    write_table(snakemake.output.scores, scores, job.provenance)
    write_table(snakemake.output.per_class, per_class, job.provenance)
