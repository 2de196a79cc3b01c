"""Makes the wafer-native diffusion base of one scope: a folder in diffusers' layout, digests, losses and samples."""

from pathlib import Path

from waferbench.base.artifacts import read_json, read_table, write_h5, write_json, write_table
from waferbench.base.seals import FACTS
from waferbench.base.seeds import derive_seed
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.diffusion.base import save_base
from waferbench.synthesis.diffusion.pretrain import draw_prior, pretrain_base
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.store import read_store, slugs

with Job(snakemake) as job:
    settings, scope = job.settings, snakemake.wildcards.scope
    selected, folds = read_table(snakemake.input.selected), read_folds(snakemake.input)
    wafers = wafers_of(selected, folds, scope, "train")
    wafers = wafers[wafers["label"].isin(slugs(settings["classes"]).values())]
    images = render(read_store(snakemake.input.store).take(wafers["row"]), **settings["render"])
    seed = derive_seed(settings["seed"], scope)
    base, history = pretrain_base(images, settings["source"], seed, device(job.gpus, job.threads), job.checkpoints)
    provenance = {**job.provenance, **fitted_on(wafers)}
    save_base(base, snakemake.output.base, provenance)
    write_json(snakemake.output.files, {"sha256": read_json(Path(snakemake.output.base) / FACTS)["files"]}, provenance)
    write_table(snakemake.output.history, history, provenance)
    prior = draw_prior(base, settings["source"], seed, settings["render"]["size"])
    write_h5(snakemake.output.prior, {"images": prior}, provenance)
