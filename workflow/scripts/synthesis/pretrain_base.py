"""Makes the wafer-native diffusion base of one scope: a folder in diffusers' layout, digests, losses and samples."""

from waferbench.config.synthesis.stages import PretrainBase
from waferbench.engine.job import Job, run


def pretrain(job: Job[PretrainBase]) -> None:
    from pathlib import Path

    from waferbench.base.artifacts import read_json, write_json, write_table
    from waferbench.base.seals import FACTS
    from waferbench.base.seeds import derive_seed
    from waferbench.images.store import write_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.diffusion.base import save_base
    from waferbench.synthesis.diffusion.pretrain import draw_prior, pretrain_base
    from waferbench.wafers.training import TrainingWafers

    settings, output = job.settings, job.output
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    images, seed = wafers.images(settings.render), derive_seed(settings.seed, job.scope)
    target = device(job.gpus, job.threads)
    base, history = pretrain_base(images, settings.source, seed, target, job.checkpoints)
    provenance = {**job.provenance, **wafers.provenance}
    save_base(base, output.base, provenance)
    write_json(output.files, {"sha256": read_json(Path(output.base) / FACTS)["files"]}, provenance)
    write_table(output.history, history, provenance)
    write_images(output.prior, draw_prior(base, settings.source, seed, settings.render.size), provenance)


run(pretrain, snakemake, PretrainBase)
