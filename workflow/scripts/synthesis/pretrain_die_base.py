"""Makes the frozen base of a die LoRA: one network of wafers without classes, losses and a few maps.

It learns from simulated wafers, and from none of the study's: one base serves all folds and seeds.
"""

from waferbench.config.synthesis.stages import PretrainDieBase
from waferbench.engine.job import Job, run


def pretrain(job: Job[PretrainDieBase]) -> None:
    from waferbench.base.artifacts import write_table, write_weights
    from waferbench.base.seeds import derive_seed
    from waferbench.learning.runtime import device
    from waferbench.synthesis.dielora.base import draw_prior, pretrain_die_base
    from waferbench.wafers.simulate.pretraining import seen_by_base
    from waferbench.wafers.store import WaferStore, write_store

    settings, source = job.settings, job.settings.source
    seed, target = derive_seed(settings.seed, "die base"), device(job.gpus, job.threads)
    network, history = pretrain_die_base(source, settings.variant, seed, target, job.checkpoints)
    provenance = {**job.provenance, **seen_by_base(source.native.wafers, settings.variant)}
    write_weights(job.output.network, network, provenance)
    write_table(job.output.history, history, provenance)
    prior = draw_prior(network, source, settings.variant, seed, target)
    write_store(job.output.prior, WaferStore.of(prior), provenance)


run(pretrain, snakemake, PretrainDieBase)
