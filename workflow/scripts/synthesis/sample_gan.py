"""Makes the raw pool of a TS-HingeGAN: images of each label from its generator, until enough of them are accepted."""

from functools import partial

import numpy as np

from waferbench.base.artifacts import read_weights, write_h5
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.gan.sample import Sampler
from waferbench.synthesis.pool import discard_others, fill
from waferbench.synthesis.shape.filter import verdict
from waferbench.wafers.leakage import inherited
from waferbench.wafers.store import slugs

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    labels, place = list(slugs(settings["classes"]).values()), device(job.gpus, job.threads)
    passes = verdict(dict(snakemake.input.items()), place)
    shards = job.shards("generators")
    sampler = Sampler(settings["source"], settings["seed"], scope, place)
    for label, generator, path in zip(labels, snakemake.input.generators, snakemake.output.samples, strict=True):
        sampler.load(read_weights(generator))
        images, facts = fill(partial(sampler.draw, label), passes, **settings["pool"], folder=shards / label)
        made = {**job.provenance, **inherited(generator), "label": label, "pool": facts}
        write_h5(path, {"images": np.stack(images)}, made)
    discard_others(shards)
