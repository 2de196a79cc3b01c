"""Makes the injection table of one condition: which synthetic samples, or which real wafers again, enter training."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.protocols import protocol
from waferbench.base.seeds import derive_seed
from waferbench.engine.job import Job
from waferbench.synthesis.injection import inject, unfiltered
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.store import slugs

with Job(snakemake) as job:
    settings, fold = job.settings, snakemake.wildcards.fold
    labels = list(slugs(settings["classes"]).values())
    selected, folds = read_table(snakemake.input.selected), read_table(snakemake.input.folds)
    scores, chosen = snakemake.input.get("scores"), protocol(settings["protocol"])
    table, counts = inject(
        settings["source"],
        selected,
        selected if chosen.leaky else wafers_of(selected, folds, f"fold{fold}"),
        settings["budget"],
        labels,
        derive_seed(settings["seed"], fold),
        read_table(scores) if scores else unfiltered(labels, settings["n_accepted"]),
        (chosen.test, chosen.val) if chosen.leaky else None,
    )
    write_table(snakemake.output[0], table, {**job.provenance, "counts": counts})
