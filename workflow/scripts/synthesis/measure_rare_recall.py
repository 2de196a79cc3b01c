"""Makes the table of rare defects found at a fixed precision, with bootstrap intervals."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.names import labels_by_protocol, slug
from waferbench.engine.job import Job
from waferbench.statistics.rare_recall import measure_rare_recall

with Job(snakemake) as job:
    settings = job.settings
    pairs = zip(snakemake.input.validation, snakemake.input.softmax, strict=True)
    table = measure_rare_recall(
        ((read_table(a), read_table(b)) for a, b in pairs),
        labels_by_protocol(settings["classes"]),
        settings["baseline"],
        [slug(name) for name in settings["rare_classes"]],
        settings["leaky"],
        settings["precision"],
        settings["bootstrap"],
        settings["confidence"],
        settings["seed"],
    )
    write_table(snakemake.output[0], table, job.provenance)
