"""Makes one backbone's surest mistakes on test wafers, each with the Grad-CAM of the class called."""

import numpy as np

from waferbench.artifacts import read_table, read_weights, write_h5
from waferbench.backbones import create_backbone
from waferbench.classify.data import drawn_for, real_splits
from waferbench.classify.explain import explain, surest_mistakes
from waferbench.classify.train import Normaliser
from waferbench.job import Job
from waferbench.runtime import device
from waferbench.wafers import read_store, slugs

with Job(snakemake) as job:
    settings, name = job.settings, job.wildcards["backbone"]
    classifier, labels = settings["classifier"], list(slugs(settings["classes"]).values())
    size, drawn = classifier["image_size"], drawn_for(settings["render"], classifier)
    selected, folds = read_table(snakemake.input.selected), read_table(snakemake.input.folds)
    test = real_splits(read_store(snakemake.input.store), selected, folds, settings["fold"], labels, drawn)["test"]
    predictions = read_table(snakemake.input.predictions)
    predictions = predictions[predictions["wafer_id"].isin(test.ids)]  # a leaky protocol tests on added ones as well
    mistakes = surest_mistakes(predictions, labels, settings["examples"])
    place_of = {wafer: i for i, wafer in enumerate(test.ids)}
    images = test.images[[place_of[wafer] for wafer in mistakes["wafer_id"]]]

    target = device(job.gpus, job.threads)
    weights = job.weights(settings["weights"])
    model, mean, std = create_backbone(name, len(labels), pretrained=False, weights_settings=weights, image_size=size)
    model.load_state_dict(read_weights(snakemake.input.checkpoint))
    normalise = Normaliser(mean, std, size, classifier["input"], drawn["levels"])
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
