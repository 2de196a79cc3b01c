"""Makes one LoRA adapter per label on the frozen base of a scope, and the losses of their training."""

from waferbench.config.synthesis.stages import TrainLora
from waferbench.engine.bases import hold_base
from waferbench.engine.job import Job, run


def train(job: Job[TrainLora]) -> None:
    from waferbench.base.artifacts import write_table
    from waferbench.base.seeds import derive_seed
    from waferbench.learning.runtime import device
    from waferbench.synthesis.diffusion.adapters import write_adapter
    from waferbench.synthesis.diffusion.base import find_base, load_base
    from waferbench.synthesis.diffusion.lora import train_adapters
    from waferbench.wafers.training import TrainingWafers

    settings, source = job.settings, job.settings.source
    folder = job.input.get("base") or find_base(source.base, job.machine.weights, settings.base_files)
    base = load_base(folder, device(job.gpus, job.threads))
    if "base" not in job.files and (reason := hold_base(source.base, folder, settings.base_files, job.study)):
        job.unsure(reason)
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    images, seed = wafers.images(settings.render), derive_seed(settings.seed, job.scope)
    result = train_adapters(base, images, wafers.labels, wafers.classes, source, seed, job.checkpoints)
    told = {"base": base.fingerprint, "targets_without_module": result.unmatched}
    provenance = {**job.provenance, **wafers.provenance, **told}
    for label, path in zip(wafers.classes, job.output.adapters, strict=True):
        write_adapter(path, result.tensors[label], source, {**provenance, "label": label})
    write_table(job.output.history, result.history, provenance)


run(train, snakemake, TrainLora)
