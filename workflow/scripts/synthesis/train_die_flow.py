"""Makes the die flow of one scope: one network for all classes and die grids, and the losses of its training."""

from waferbench.base.artifacts import read_table, write_table, write_weights
from waferbench.base.seeds import derive_seed
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.dieflow.train import train_die_flow
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.store import read_store, slugs

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    labels = list(slugs(settings["classes"]).values())
    wafers = wafers_of(read_table(snakemake.input.selected), read_folds(snakemake.input), scope, "train")
    wafers = wafers[wafers["label"].isin(labels)]
    maps, names = read_store(snakemake.input.store).take(wafers["row"]), wafers["label"].to_numpy()
    seed, place = derive_seed(settings["seed"], scope), device(job.gpus, job.threads)
    network, history = train_die_flow(maps, names, labels, settings["source"], seed, place, job.checkpoints)
    provenance = {**job.provenance, **fitted_on(wafers)}
    write_weights(snakemake.output.network, network, provenance)
    write_table(snakemake.output.history, history, provenance)
