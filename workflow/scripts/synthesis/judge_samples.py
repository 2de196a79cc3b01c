"""Makes the judge's verdict on every synthetic sample of a source: its class by a classifier trained on real wafers.

The part `real` is the floor that sources are held against: what the judge says of real wafers that it has not seen.
"""

from waferbench.config.synthesis.stages import JudgeSamples
from waferbench.engine.job import Job, run


def judge(job: Job[JudgeSamples]) -> None:
    from pathlib import Path

    from torch import nn

    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import run_columns
    from waferbench.base.tables import TABLES
    from waferbench.classification.data import fit_samples
    from waferbench.classification.train import Normaliser, predict
    from waferbench.classification.trained import load_classifier
    from waferbench.images.store import read_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.agreement import of_predictions, verdicts

    settings, classifier, source = job.settings, job.settings.classifier, job.wildcards["source"]
    labels, scores = labels_of(settings.classes), read_table(job.input.scores)
    if source == "real":
        table = of_predictions(scores)
    else:
        target, weights, levels = device(job.gpus, job.threads), job.weights(settings.weights), settings.drawn.levels

        def trained(job: Job[JudgeSamples]) -> tuple[nn.Module, Normaliser]:
            checkpoint, backbone = job.input.checkpoint, settings.backbone
            model, normalise = load_classifier(checkpoint, backbone, labels, classifier, levels, weights)
            return model.to(target), normalise

        (model, normalise), chances = job.once("judge", trained), {}
        for path in job.input.samples:
            images = fit_samples(read_images(path).images, settings.drawn)
            chances[Path(path).stem] = predict(model, normalise, images, target, classifier.precision)[1]
        table = verdicts(scores, chances, labels)
    table = table.assign(**run_columns(settings.protocol, settings.seed, job.fold), source=source)
    write_table(job.output.judged, table[list(TABLES["agreement"])], job.provenance)


run(judge, snakemake, JudgeSamples)
