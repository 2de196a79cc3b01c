"""Makes the raw pool of a die flow: wafer maps of each label on the die grids of training wafers, and their images."""

from functools import partial

from waferbench.base.artifacts import read_table, read_weights, write_h5
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.dieflow.sample import Sampler
from waferbench.synthesis.pool import discard_others, fill
from waferbench.synthesis.shape.filter import verdict
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.leakage import inherited
from waferbench.wafers.render import render
from waferbench.wafers.store import WaferStore, read_store, slugs

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    labels, place = list(slugs(settings["classes"]).values()), device(job.gpus, job.threads)
    drawn = partial(render, **settings["render"])
    wafers = wafers_of(read_table(snakemake.input.selected), read_folds(snakemake.input), scope, "train")
    store = read_store(snakemake.input.store)
    grids = {label: store.take(wafers.loc[wafers["label"] == label, "row"]) for label in labels}
    passes = verdict(dict(snakemake.input.items()), place)
    judge = (lambda maps: passes(drawn(maps))) if passes else None
    shards = job.shards("network", "store", "selected", "folds", beside=("pool", "render"))
    weights = read_weights(snakemake.input.network)
    sampler = Sampler(weights, grids, settings["source"], settings["seed"], scope, place)
    for label, path in zip(labels, snakemake.output.samples, strict=True):
        maps, facts = fill(partial(sampler.draw, label), judge, **settings["pool"], folder=shards / label)
        arrays = {"images": drawn(maps), **vars(WaferStore.of(maps))}
        write_h5(path, arrays, {**job.provenance, **inherited(snakemake.input.network), "label": label, "pool": facts})
    discard_others(shards)
