"""Makes the raw pool of the LoRA adapters: images of each label, until enough of them are accepted."""

from functools import partial

import numpy as np

from waferbench.base.artifacts import write_h5
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.diffusion.base import find_base, load_base
from waferbench.synthesis.diffusion.sample import Sampler
from waferbench.synthesis.pool import discard_others, fill
from waferbench.synthesis.shape.filter import verdict
from waferbench.wafers.leakage import inherited
from waferbench.wafers.store import slugs

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    source, labels, place = settings["source"], list(slugs(settings["classes"]).values()), device(job.gpus, job.threads)
    base = load_base(snakemake.input.get("base") or find_base(source["base"], **job.machine["weights"]), place)
    passes = verdict(dict(snakemake.input.items()), place)
    shards = job.shards("adapters", "base")
    with Sampler(base, source, settings["seed"], scope, settings["render"]["size"]) as sampler:
        for label, adapter, path in zip(labels, snakemake.input.adapters, snakemake.output.samples, strict=True):
            sampler.load(adapter)
            images, facts = fill(partial(sampler.draw, label), passes, **settings["pool"], folder=shards / label)
            made = {**job.provenance, **inherited(adapter), "label": label, "pool": facts}
            write_h5(path, {"images": np.stack(images)}, made)
    discard_others(shards)
