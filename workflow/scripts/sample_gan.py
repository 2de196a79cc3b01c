"""Makes the raw pool of a TS-HingeGAN: images of each label from its generator, until enough of them are accepted."""

from functools import partial

import numpy as np

from waferbench.artifacts import read_provenance, read_weights, write_h5
from waferbench.gan.sample import Sampler
from waferbench.job import Job
from waferbench.pool import discard_others, fill
from waferbench.runtime import device
from waferbench.shape.filter import read_filter
from waferbench.wafers import slugs

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    labels, place = list(slugs(settings["classes"]).values()), device(job.gpus, job.threads)
    thresholds = snakemake.input.get("thresholds")
    passes = read_filter(thresholds, snakemake.input.cnn, place).passes if thresholds else None
    shards = job.shards("generators")
    sampler = Sampler(settings["source"], settings["seed"], scope, place)
    for label, generator, path in zip(labels, snakemake.input.generators, snakemake.output.samples, strict=True):
        sampler.load(read_weights(generator))
        images, facts = fill(partial(sampler.draw, label), passes, **settings["pool"], folder=shards / label)
        made_by = read_provenance(generator)
        fitted = {key: made_by[key] for key in ("fitted_on", "n_fitted") if key in made_by}
        write_h5(path, {"images": np.stack(images)}, {**job.provenance, **fitted, "label": label, "pool": facts})
    discard_others(shards)
