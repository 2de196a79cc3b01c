"""Makes one backbone's surest mistakes on test wafers, each with the Grad-CAM of the class called."""

import numpy as np

from waferbench.base.artifacts import read_table, write_h5
from waferbench.classification.data import drawn_for
from waferbench.classification.explain import explain, surest_mistakes
from waferbench.classification.trained import load_classifier
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.wafers.render import render
from waferbench.wafers.store import open_store, slugs

with Job(snakemake) as job:
    settings, name = job.settings, job.wildcards["backbone"]
    classifier, labels = settings["classifier"], list(slugs(settings["classes"]).values())
    drawn = drawn_for(settings["render"], classifier)
    rows = read_table(snakemake.input.selected).set_index("wafer_id")["row"]
    predictions = read_table(snakemake.input.predictions)
    predictions = predictions[predictions["wafer_id"].isin(rows.index)]  # a leaky protocol tests on added ones as well
    mistakes = surest_mistakes(predictions, labels, settings["examples"])
    images = render(open_store(snakemake.input.store).take(rows.loc[mistakes["wafer_id"]]), **drawn)

    target, weights = device(job.gpus, job.threads), job.weights(settings["weights"])
    model, normalise = load_classifier(snakemake.input.checkpoint, name, labels, classifier, drawn["levels"], weights)
    called = mistakes["called"].to_numpy()
    arrays = {
        "images": images,
        "maps": explain(model, normalise, images, called, target),
        "ids": mistakes["wafer_id"].to_numpy(dtype=object).astype(str),
        "true": mistakes["true"].to_numpy(),
        "called": called,
        "probability": mistakes["probability"].to_numpy(np.float32),
        "classes": np.array(labels),
    }
    write_h5(snakemake.output[0], arrays, job.provenance)
