"""Makes the judge's verdict on every synthetic sample of a source: its class by a classifier trained on real wafers."""

from pathlib import Path

import numpy as np
import pandas as pd

from waferbench.base.artifacts import read_h5, read_provenance, read_table, write_table
from waferbench.classification.data import drawn_for, fit_samples
from waferbench.classification.train import predict
from waferbench.classification.trained import load_classifier
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.wafers.store import slugs

with Job(snakemake) as job:
    settings, wild = job.settings, job.wildcards
    classifier = settings["classifier"]
    drawn = drawn_for(settings["render"], classifier)
    labels = list(slugs(settings["classes"]).values())
    place, backbone = device(job.gpus, job.threads), settings["backbone"]["name"]
    model, normalise = load_classifier(
        snakemake.input.checkpoint, backbone, labels, classifier, drawn["levels"], settings["weights"]
    )
    model.to(place)
    parts = []
    for path in snakemake.input.samples:
        label = Path(path).stem
        images = fit_samples(read_h5(path, ["images"])["images"], drawn)
        probabilities = predict(model, normalise, images, place, classifier)[1]
        parts.append(
            pd.DataFrame(
                {
                    "label": label,
                    "index": np.arange(len(images)),
                    "y_judge": np.asarray(labels, dtype=object)[probabilities.argmax(1)],
                    "p_intended": probabilities[:, labels.index(label)],
                }
            )
        )
    table = read_table(snakemake.input.scores, ["label", "index", "in_pool"]).merge(pd.concat(parts), how="inner")
    cell = read_provenance(snakemake.input.checkpoint)["cell"]
    facts = {name: cell[name] for name in ("protocol", "seed", "fold")} | {"source": wild["source"]}
    write_table(snakemake.output[0], pd.concat([pd.DataFrame([facts] * len(table)), table], axis=1), job.provenance)
