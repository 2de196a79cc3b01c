"""Makes the die flow of one scope: one network for all classes and die grids, and the losses of its training."""

from waferbench.config.synthesis.stages import TrainDieFlow
from waferbench.engine.job import Job, run


def train(job: Job[TrainDieFlow]) -> None:
    from waferbench.base.artifacts import write_table, write_weights
    from waferbench.base.seeds import derive_seed
    from waferbench.learning.runtime import device
    from waferbench.synthesis.dieflow.train import train_die_flow
    from waferbench.wafers.training import TrainingWafers

    settings = job.settings
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    seed, target = derive_seed(settings.seed, job.scope), device(job.gpus, job.threads)
    network, history = train_die_flow(
        wafers.maps, wafers.labels, wafers.classes, settings.source, seed, target, job.checkpoints
    )
    provenance = {**job.provenance, **wafers.provenance}
    write_weights(job.output.network, network, provenance)
    write_table(job.output.history, history, provenance)


run(train, snakemake, TrainDieFlow)
