"""Makes the cost of one backbone: parameters and multiply-accumulates; its speed here goes to the run record."""

from waferbench.config.synthesis.stages import MeasureBackbone
from waferbench.engine.job import Job, run


def measure(job: Job[MeasureBackbone]) -> None:
    from waferbench.base.artifacts import write_json
    from waferbench.classification.cost import count, time_predictions
    from waferbench.learning.backbones import create_backbone
    from waferbench.learning.runtime import device

    settings, name, size = job.settings, job.wildcards["backbone"], job.settings.image_size
    target = device(job.gpus, job.threads)
    model, _, _ = create_backbone(name, settings.n_classes, pretrained=False, image_size=size)
    cost = {"backbone": name, "image_size": size, **count(model, size)}
    job.facts = time_predictions(model, size, target, settings.precision)
    write_json(job.output.cost, cost, job.provenance)


run(measure, snakemake, MeasureBackbone, shared=False)
