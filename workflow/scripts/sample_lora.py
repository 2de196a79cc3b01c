"""Makes the raw pool of the LoRA adapters: ``n_raw`` images of each label."""

from waferbench.artifacts import read_provenance, write_h5
from waferbench.diffusion.base import find_base, load_base
from waferbench.diffusion.sample import sample_adapters
from waferbench.job import Job
from waferbench.runtime import device
from waferbench.wafers import slugs

with Job(snakemake) as job:
    settings, scope = job.settings, snakemake.wildcards.scope
    source, labels = settings["source"], list(slugs(settings["classes"]).values())
    folder = snakemake.input.get("base") or find_base(source["base"], **job.machine["weights"])
    base = load_base(folder, device(job.gpus, job.threads))
    adapters = dict(zip(labels, snakemake.input.adapters, strict=True))
    outputs = dict(zip(labels, snakemake.output.samples, strict=True))
    drawn = sample_adapters(
        base, adapters, settings["n_raw"], source, settings["seed"], scope, settings["render"]["size"]
    )
    for label, images in drawn:
        made_by = read_provenance(adapters[label])
        fitted = {key: made_by[key] for key in ("fitted_on", "n_fitted", "base") if key in made_by}
        write_h5(outputs[label], {"images": images}, {**job.provenance, **fitted, "label": label})
