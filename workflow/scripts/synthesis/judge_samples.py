"""Makes the judge's verdict on every synthetic sample of a source: its class by a classifier trained on real wafers."""

from waferbench.config.synthesis.stages import JudgeSamples
from waferbench.engine.job import Job, run


def judge(job: Job[JudgeSamples]) -> None:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_of
    from waferbench.base.tables import TABLES
    from waferbench.classification.data import fit_samples
    from waferbench.classification.train import predict
    from waferbench.classification.trained import load_classifier
    from waferbench.images.store import read_images
    from waferbench.learning.runtime import device

    settings, classifier = job.settings, job.settings.classifier
    labels, target = labels_of(settings.classes), device(job.gpus, job.threads)
    weights, levels = job.weights(settings.weights), settings.drawn.levels
    model, normalise = load_classifier(job.input.checkpoint, settings.backbone, labels, classifier, levels, weights)
    model.to(target)
    parts = []
    for path in job.input.samples:
        label = Path(path).stem
        images = fit_samples(read_images(path).images, settings.drawn)
        _, probabilities = predict(model, normalise, images, target, classifier.precision)
        called = np.asarray(labels, dtype=object)[probabilities.argmax(1)]
        intended = probabilities[:, labels.index(label)]
        parts.append(
            pd.DataFrame({"label": label, "index": np.arange(len(images)), "y_judge": called, "p_intended": intended})
        )
    table = read_table(job.input.scores, ["label", "index", "in_pool"]).merge(pd.concat(parts), how="inner")
    table = table.assign(
        protocol=settings.protocol, seed=settings.seed, replicate=0, fold=job.fold, source=job.wildcards["source"]
    )
    write_table(job.output.judged, table[list(TABLES["agreement"])], job.provenance)


run(judge, snakemake, JudgeSamples)
