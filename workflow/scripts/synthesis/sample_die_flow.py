"""Makes the raw pool of a die flow: wafer maps of each label on the die grids of training wafers, and their images."""

from waferbench.config.synthesis.stages import SampleDieFlow
from waferbench.engine.job import Job, run


def sample(job: Job[SampleDieFlow]) -> None:
    from functools import partial

    from waferbench.base.artifacts import read_weights
    from waferbench.images.store import write_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.dieflow.sample import Sampler
    from waferbench.synthesis.pool import MAPS, discard_others, fill
    from waferbench.synthesis.shape.filter import verdict
    from waferbench.wafers.leakage import inherited
    from waferbench.wafers.render import render
    from waferbench.wafers.store import WaferStore
    from waferbench.wafers.training import TrainingWafers

    settings, target, network = job.settings, device(job.gpus, job.threads), job.input.network
    wafers = TrainingWafers.read(job.files, job.scope, settings.classes)
    grids = {label: wafers.maps_of(label) for label in wafers.classes}
    passes = verdict(job.files, target)
    judge = (lambda maps: passes(render(maps, settings.render))) if passes else None
    shards = job.shards("network", "store", "selected", "folds", beside=("pool", "render"))
    sampler = Sampler(read_weights(network), grids, settings.source, settings.seed, job.scope, target)
    for label, path in zip(wafers.classes, job.output.samples, strict=True):
        maps, facts = fill(partial(sampler.draw, label), judge, settings.pool, shards / label, MAPS)
        made = {**job.provenance, **inherited(network), "label": label, "pool": facts}
        write_images(path, render(maps, settings.render), made, beside=vars(WaferStore.of(maps)))
    discard_others(shards)


run(sample, snakemake, SampleDieFlow)
