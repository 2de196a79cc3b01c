"""Makes one adapter per label on the frozen base of a die LoRA, and the losses of their training."""

from waferbench.config.synthesis.stages import TrainDieLora
from waferbench.engine.job import Job, run


def train(job: Job[TrainDieLora]) -> None:
    from dataclasses import replace

    from waferbench.base.artifacts import read_provenance, write_table, write_weights
    from waferbench.base.seeds import derive_seed
    from waferbench.learning.runtime import device
    from waferbench.synthesis.dielora.adapters import train_adapters
    from waferbench.synthesis.dielora.base import load_die_base
    from waferbench.wafers.folds import capped
    from waferbench.wafers.training import TrainingWafers

    settings, source, network = job.settings, job.settings.source, job.input.network
    base = load_die_base(network, source.channels, device(job.gpus, job.threads))
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    wafers = replace(wafers, table=capped(wafers.table, source.max_wafers))
    maps = {label: wafers.maps_of(label) for label in wafers.classes}
    adapters, history = train_adapters(base, maps, source, derive_seed(settings.seed, job.scope), job.checkpoints)
    told = {"pretrained_on": read_provenance(network).get("pretrained_on", {})}
    provenance = {**job.provenance, **wafers.provenance, **told}
    for label, path in zip(wafers.classes, job.output.adapters, strict=True):
        write_weights(path, adapters[label], {**provenance, "label": label})
    write_table(job.output.history, history, provenance)


run(train, snakemake, TrainDieLora)
