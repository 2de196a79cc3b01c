"""Makes the raw pool of a TS-HingeGAN: images of each label from its generator, until enough of them are accepted."""

from waferbench.config.synthesis.stages import SampleGan
from waferbench.engine.job import Job, run


def sample(job: Job[SampleGan]) -> None:
    from functools import partial

    from waferbench.base.artifacts import read_weights
    from waferbench.base.names import labels_of
    from waferbench.images.store import write_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.gan.sample import Sampler
    from waferbench.synthesis.pool import IMAGES, discard_others, fill
    from waferbench.synthesis.shape.filter import verdict
    from waferbench.wafers.leakage import inherited

    settings, target = job.settings, device(job.gpus, job.threads)
    passes, shards = verdict(job.files, target), job.shards("generators")
    sampler = Sampler(settings.source, settings.seed, job.scope, target)
    files = zip(labels_of(settings.classes), job.input.generators, job.output.samples, strict=True)
    for label, generator, path in files:
        sampler.load(read_weights(generator))
        images, facts = fill(partial(sampler.draw, label), passes, settings.pool, shards / label, IMAGES)
        write_images(path, images, {**job.provenance, **inherited(generator), "label": label, "pool": facts})
    discard_others(shards)


run(sample, snakemake, SampleGan)
