"""Makes the injection table of one condition: which synthetic samples, or which real wafers again, enter training."""

from waferbench.config.synthesis.stages import MakeInjection
from waferbench.engine.job import Job, run


def make_injection(job: Job[MakeInjection]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import protocol
    from waferbench.base.scope import Fold
    from waferbench.base.seeds import derive_seed
    from waferbench.synthesis.injection import inject, unfiltered
    from waferbench.wafers.folds import wafers_of

    settings, labels, chosen = job.settings, labels_of(job.settings.classes), protocol(job.settings.protocol)
    selected, folds = read_table(job.input.selected), read_table(job.input.folds)
    scores = job.input.get("scores")
    table, counts = inject(
        settings.source,
        selected,
        selected if chosen.leaky else wafers_of(selected, folds, Fold(job.fold)),
        settings.budget,
        labels,
        derive_seed(settings.seed, job.fold),
        read_table(scores) if scores else unfiltered(labels, settings.n_accepted),
        (chosen.test, chosen.val) if chosen.leaky else None,
    )
    write_table(job.output.injection, table, {**job.provenance, "counts": counts})


run(make_injection, snakemake, MakeInjection)
