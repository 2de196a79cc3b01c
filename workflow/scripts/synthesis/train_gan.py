"""Makes a TS-HingeGAN: stage 1 on all classes pooled, one generator per label, the history and the facts."""

from waferbench.base.artifacts import read_table, write_json, write_table, write_weights
from waferbench.base.seeds import derive_seed
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.gan.train import train_gan
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.store import read_store, slugs

with Job(snakemake) as job:
    settings, scope = job.settings, snakemake.wildcards.scope
    labels = list(slugs(settings["classes"]).values())
    selected, folds = read_table(snakemake.input.selected), read_folds(snakemake.input)
    wafers = wafers_of(selected, folds, scope, "train")
    wafers = wafers[wafers["label"].isin(labels)]
    images = render(read_store(snakemake.input.store).take(wafers["row"]), **settings["render"])
    result = train_gan(
        images,
        wafers["label"].to_numpy(),
        labels,
        settings["source"],
        derive_seed(settings["seed"], scope),
        device(job.gpus, job.threads),
        job.checkpoints,
    )
    provenance = {**job.provenance, **fitted_on(wafers)}
    write_weights(snakemake.output.stage1, result.stage1, provenance)
    for label, path in zip(labels, snakemake.output.generators, strict=True):
        write_weights(path, result.generators[label], {**provenance, "label": label})
    write_table(snakemake.output.history, result.history, provenance)
    write_json(snakemake.output.facts, result.facts, provenance)
