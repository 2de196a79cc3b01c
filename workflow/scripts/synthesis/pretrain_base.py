"""Makes the wafer-native diffusion base of a study: a folder in diffusers' layout, digests, losses and samples.

It learns from simulated wafers, and from none of the study's: one base serves all folds and seeds.
"""

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
    from waferbench.wafers.render import render
    from waferbench.wafers.simulate.pretraining import base_wafers, seen_by_base

    settings, source, output = job.settings, job.settings.source, job.output
    seed, variant, count = derive_seed(settings.seed, "base"), settings.variant, source.native.wafers
    images = render(base_wafers(count, seed, variant), settings.render)
    base, history = pretrain_base(images, source, seed, device(job.gpus, job.threads), job.checkpoints)
    provenance = {**job.provenance, **seen_by_base(count, variant)}
    save_base(base, output.base, provenance)
    write_json(output.files, {"sha256": read_json(Path(output.base) / FACTS)["files"]}, provenance)
    write_table(output.history, history, provenance)
    write_images(output.prior, draw_prior(base, source, seed, settings.render.size), provenance)


run(pretrain, snakemake, PretrainBase)
