"""Makes the table of rare defects found at a fixed precision, with bootstrap intervals."""

from waferbench.config.synthesis.stages import MeasureRareRecall
from waferbench.engine.job import Job, run


def measure(job: Job[MeasureRareRecall]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_by_protocol, slug
    from waferbench.statistics.rare_recall import measure_rare_recall

    settings, given = job.settings, job.input
    pairs = zip(given.validation, given.softmax, strict=True)
    table = measure_rare_recall(
        ((read_table(a), read_table(b)) for a, b in pairs),
        labels_by_protocol(settings.classes),
        settings.baseline,
        [slug(name) for name in settings.rare_classes],
        settings.leaky,
        settings.precision,
        settings.bootstrap,
        settings.confidence,
        settings.seed,
    )
    write_table(job.output.rare_recall, table, job.provenance)


run(measure, snakemake, MeasureRareRecall)
