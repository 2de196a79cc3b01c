"""Makes one LoRA adapter per label on the frozen base of a scope, and the losses of their training."""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.seeds import derive_seed
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.diffusion.adapters import write_adapter
from waferbench.synthesis.diffusion.base import find_base, load_base
from waferbench.synthesis.diffusion.lora import train_adapters
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.store import read_store, slugs

with Job(snakemake) as job:
    settings, scope = job.settings, snakemake.wildcards.scope
    source, labels = settings["source"], list(slugs(settings["classes"]).values())
    folder = snakemake.input.get("base") or find_base(source["base"], **job.machine["weights"])
    base = load_base(folder, device(job.gpus, job.threads))
    selected, folds = read_table(snakemake.input.selected), read_folds(snakemake.input)
    wafers = wafers_of(selected, folds, scope, "train")
    wafers = wafers[wafers["label"].isin(labels)]
    images = render(read_store(snakemake.input.store).take(wafers["row"]), **settings["render"])
    seed = derive_seed(settings["seed"], scope)
    result = train_adapters(base, images, wafers["label"].to_numpy(), labels, source, seed, job.checkpoints)
    provenance = {
        **job.provenance,
        **fitted_on(wafers),
        "base": base.fingerprint,
        "targets_without_module": result.unmatched,
    }
    for label, path in zip(labels, snakemake.output.adapters, strict=True):
        write_adapter(path, result.tensors[label], source, {**provenance, "label": label})
    write_table(snakemake.output.history, result.history, provenance)
