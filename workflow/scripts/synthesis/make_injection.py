"""Makes the injection table of one condition: which synthetic samples, or which real wafers again, enter training."""

from waferbench.config.synthesis.stages import MakeInjection
from waferbench.engine.job import Job, run


def make_injection(job: Job[MakeInjection]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import slug
    from waferbench.base.protocols import protocol
    from waferbench.base.scope import Fold
    from waferbench.base.seeds import derive_seed
    from waferbench.synthesis import injection
    from waferbench.synthesis.budget import available
    from waferbench.wafers.folds import wafers_of

    settings, source, chosen = job.settings, job.settings.source, protocol(job.settings.protocol)
    if source == "none":
        write_table(job.output.injection, injection.nothing(), {**job.provenance, "counts": {}})
        return
    seed, excluded = derive_seed(settings.seed, job.fold), [slug(name) for name in settings.exclude]
    plan = read_table(job.input.plan).set_index("label")
    wanted = plan["wanted"].where(~plan.index.isin(excluded), 0).to_dict()
    if settings.pool is None:
        selected = read_table(job.input.selected)
        train = wafers_of(selected, read_table(job.input.folds), Fold(job.fold))
        table = injection.repeat(selected if chosen.leaky else train, wanted, seed)
    else:
        scores = read_table(job.input.scores) if "scores" in job.files else None
        if "judged" in job.files:
            pool = injection.judged_pool(read_table(job.input.judged), scores)
        else:
            pool = injection.unfiltered(available(plan, settings.pool)) if scores is None else scores
        if settings.take_all:
            wanted = injection.everything(pool, wanted)
        table = injection.inject(source, pool, wanted, seed)
    counts = injection.counted(table, wanted)
    reserved = settings.pool is not None and settings.pool.reserved
    injection.require_all(source, counts, settings.equal, "scores" in job.files, reserved, "judged" in job.files)
    if chosen.leaky:
        table = injection.leaky_split(table, chosen.test, chosen.val, source, seed)
    write_table(job.output.injection, table, {**job.provenance, "counts": counts})


run(make_injection, snakemake, MakeInjection)
