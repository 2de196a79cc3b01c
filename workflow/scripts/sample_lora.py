"""Makes the raw pool of the LoRA adapters: images of each label, until enough of them are accepted."""

from functools import partial

import numpy as np

from waferbench.artifacts import read_provenance, write_h5
from waferbench.diffusion.base import find_base, load_base
from waferbench.diffusion.sample import Sampler
from waferbench.job import Job
from waferbench.pool import discard_others, fill
from waferbench.runtime import device
from waferbench.shape.filter import read_filter
from waferbench.wafers import slugs

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    source, labels, place = settings["source"], list(slugs(settings["classes"]).values()), device(job.gpus, job.threads)
    base = load_base(snakemake.input.get("base") or find_base(source["base"], **job.machine["weights"]), place)
    thresholds = snakemake.input.get("thresholds")
    passes = read_filter(thresholds, snakemake.input.cnn, place).passes if thresholds else None
    shards = job.shards("adapters", "base")
    with Sampler(base, source, settings["seed"], scope, settings["render"]["size"]) as sampler:
        for label, adapter, path in zip(labels, snakemake.input.adapters, snakemake.output.samples, strict=True):
            sampler.load(adapter)
            images, facts = fill(partial(sampler.draw, label), passes, **settings["pool"], folder=shards / label)
            made_by = read_provenance(adapter)
            fitted = {key: made_by[key] for key in ("fitted_on", "n_fitted", "base") if key in made_by}
            write_h5(path, {"images": np.stack(images)}, {**job.provenance, **fitted, "label": label, "pool": facts})
    discard_others(shards)
