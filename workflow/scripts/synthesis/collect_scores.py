"""Makes the study's score tables from the predictions of its cells: predictions, scores, scores per class."""

from waferbench.config.synthesis.stages import Scored
from waferbench.engine.job import Job, run


def collect_scores(job: Job[Scored]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_by_protocol
    from waferbench.classification.scores import collect

    labels = labels_by_protocol(job.settings.classes)
    predictions, scores, per_class = collect((read_table(path) for path in job.input.cells), labels)
    write_table(job.output.predictions, predictions, job.provenance)
    write_table(job.output.scores, scores, job.provenance)
    write_table(job.output.per_class, per_class, job.provenance)


run(collect_scores, snakemake, Scored)
