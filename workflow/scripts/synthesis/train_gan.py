"""Makes a TS-HingeGAN: stage 1 on all classes pooled, one generator per label, the history and the facts."""

from waferbench.config.synthesis.stages import TrainGan
from waferbench.engine.job import Job, run


def train(job: Job[TrainGan]) -> None:
    from waferbench.base.artifacts import write_json, write_table, write_weights
    from waferbench.base.seeds import derive_seed
    from waferbench.learning.runtime import device
    from waferbench.synthesis.gan.train import train_gan
    from waferbench.wafers.training import TrainingWafers

    settings = job.settings
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    images, seed = wafers.images(settings.render), derive_seed(settings.seed, job.scope)
    target = device(job.gpus, job.threads)
    result = train_gan(images, wafers.labels, wafers.classes, settings.source, seed, target, job.checkpoints)
    provenance = {**job.provenance, **wafers.provenance}
    write_weights(job.output.stage1, result.stage1, provenance)
    for label, path in zip(wafers.classes, job.output.generators, strict=True):
        write_weights(path, result.generators[label], {**provenance, "label": label})
    write_table(job.output.history, result.history, provenance)
    write_json(job.output.facts, result.facts, provenance)


run(train, snakemake, TrainGan)
