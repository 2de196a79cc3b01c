"""Makes the raw pool of a die LoRA: wafer maps of each label on the die grids of training wafers, and their images."""

from waferbench.config.synthesis.stages import SampleDieLora
from waferbench.engine.job import Job, run


def sample(job: Job[SampleDieLora]) -> None:
    from functools import partial

    from waferbench.base.artifacts import read_weights
    from waferbench.images.store import write_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.dielora.base import load_die_base
    from waferbench.synthesis.dielora.sample import Sampler
    from waferbench.synthesis.pool import MAPS, discard_others, fill
    from waferbench.synthesis.shape.filter import verdict
    from waferbench.wafers.leakage import inherited
    from waferbench.wafers.render import render
    from waferbench.wafers.store import WaferStore
    from waferbench.wafers.training import TrainingWafers

    settings, source, target = job.settings, job.settings.source, device(job.gpus, job.threads)
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    grids = {label: wafers.maps_of(label) for label in wafers.classes}
    adapters = dict(zip(wafers.classes, map(read_weights, job.input.adapters), strict=True))
    passes = verdict(job.files, target)
    judge = (lambda maps: passes(render(maps, settings.render))) if passes else None
    shards = job.shards("network", "adapters", "store", "selected", "folds", beside=("pool", "render"))
    base = load_die_base(job.input.network, source.channels, target)
    sampler = Sampler(base, adapters, grids, source, settings.seed, job.scope)
    for label, adapter, path in zip(wafers.classes, job.input.adapters, job.output.samples, strict=True):
        maps, facts = fill(partial(sampler.draw, label), judge, settings.pool, shards / label, MAPS)
        made = {**job.provenance, **inherited(adapter), "label": label, "pool": facts}
        write_images(path, render(maps, settings.render), made, beside=vars(WaferStore.of(maps)))
    discard_others(shards)


run(sample, snakemake, SampleDieLora)
