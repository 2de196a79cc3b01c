"""Makes the raw pool of the LoRA adapters: images of each label, until enough of them are accepted."""

from waferbench.config.synthesis.stages import SampleLora
from waferbench.engine.bases import hold_base
from waferbench.engine.job import Job, run


def sample(job: Job[SampleLora]) -> None:
    from functools import partial

    from waferbench.base.names import labels_of
    from waferbench.images.store import write_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.diffusion.base import find_base, load_base
    from waferbench.synthesis.diffusion.sample import Sampler
    from waferbench.synthesis.pool import IMAGES, discard_others, fill
    from waferbench.synthesis.shape.filter import verdict
    from waferbench.wafers.leakage import inherited

    settings, source, target = job.settings, job.settings.source, device(job.gpus, job.threads)
    folder = job.input.get("base") or find_base(source.base, job.machine.weights, settings.base_files)
    base = load_base(folder, target)
    if "base" not in job.files and (reason := hold_base(source.base, folder, settings.base_files, job.study)):
        job.unsure(reason)
    passes, shards = verdict(job.files, target), job.shards("adapters", "base")
    files = zip(labels_of(settings.classes), job.input.adapters, job.output.samples, strict=True)
    with Sampler(base, source, settings.seed, job.scope, settings.render.size) as sampler:
        for label, adapter, path in files:
            sampler.load(adapter)
            images, facts = fill(partial(sampler.draw, label), passes, settings.pool, shards / label, IMAGES)
            write_images(path, images, {**job.provenance, **inherited(adapter), "label": label, "pool": facts})
    discard_others(shards)


run(sample, snakemake, SampleLora)
