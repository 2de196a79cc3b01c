"""Makes the cost of one backbone: parameters and multiply-accumulates; its speed here goes to the run record."""

from waferbench.base.artifacts import write_json
from waferbench.classification.cost import count, time_predictions
from waferbench.engine.job import Job
from waferbench.learning.backbones import create_backbone
from waferbench.learning.runtime import device

with Job(snakemake, shared=False) as job:
    name, size = job.wildcards["backbone"], job.settings["image_size"]
    place = device(job.gpus, job.threads)
    model, _, _ = create_backbone(name, job.settings["n_classes"], pretrained=False, image_size=size)
    cost = {"backbone": name, "image_size": size, **count(model, size)}
    job.facts = time_predictions(model, size, place, job.settings["precision"])
    write_json(snakemake.output[0], cost, job.provenance)
