"""Makes the raw pool of a TS-HingeGAN: ``n_raw`` images of each label, drawn from its generator."""

from waferbench.artifacts import read_provenance, read_weights, write_h5
from waferbench.gan.sample import sample
from waferbench.job import Job
from waferbench.runtime import device
from waferbench.wafers import slugs

with Job(snakemake) as job:
    settings, scope = job.settings, snakemake.wildcards.scope
    labels = list(slugs(settings["classes"]).values())
    place = device(job.gpus, job.threads)
    for label, weights, path in zip(labels, snakemake.input.generators, snakemake.output.samples, strict=True):
        images = sample(
            read_weights(weights), settings["n_raw"], settings["source"], settings["seed"], label, scope, place
        )
        made_by = read_provenance(weights)
        fitted = {key: made_by[key] for key in ("fitted_on", "n_fitted") if key in made_by}
        write_h5(path, {"images": images}, {**job.provenance, **fitted, "label": label})
