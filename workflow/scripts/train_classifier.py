"""Makes one trained classifier: its weights, penultimate features, softmax predictions on the test fold, history."""

import json

import numpy as np
import pandas as pd

from waferbench.artifacts import read_table, write_h5, write_table, write_weights
from waferbench.backbones import create_backbone
from waferbench.classify.data import real_splits, training_set
from waferbench.classify.train import Normaliser, predict, train_classifier
from waferbench.folds import wafers_of
from waferbench.job import Job
from waferbench.leakage import fitted_on
from waferbench.predictions import prediction_table
from waferbench.runtime import Checkpoint, device, seed_everything
from waferbench.seeds import derive_seed
from waferbench.wafers import read_store, slugs

with Job(snakemake) as job:
    settings, wild = job.settings, job.wildcards
    classifier, fold = settings["classifier"], int(wild["fold"])
    labels = list(slugs(settings["classes"]).values())
    selected, folds = read_table(snakemake.input.selected), read_table(snakemake.input.folds)
    size, drawn = classifier["image_size"], settings["render"]
    store, draw_at = read_store(snakemake.input.store), classifier["draw_real_at"]
    splits = real_splits(store, selected, folds, fold, labels, size, drawn, draw_at)
    injection = read_table(snakemake.input.injection)
    train, counts = training_set(splits["train"], injection, snakemake.input.get("samples", []), labels, size, drawn)

    place = device(job.gpus, job.threads)
    seed = derive_seed(settings["seed"], fold, wild["backbone"])
    seed_everything(seed)
    backbone, weights = settings["backbone"], job.weights(settings["weights"])
    model, mean, std = create_backbone(backbone["name"], len(labels), backbone["pretrained"], weights, size)
    normalise = Normaliser(mean, std, float(drawn["levels"][0]))
    history = train_classifier(
        model,
        normalise,
        train,
        splits["val"],
        classifier,
        settings["condition"]["augment"],
        seed,
        place,
        Checkpoint(job.checkpoints),
    )
    sets = {"train": train, "val": splits["val"], "test": splits["test"]}
    outputs = {split: predict(model, normalise, part.images, place, classifier) for split, part in sets.items()}

    cell = {
        "protocol": settings["protocol"],
        "seed": settings["seed"],
        "fold": fold,
        "backbone": wild["backbone"],
        "condition": wild["condition"],
        **counts,
    }
    provenance = {**job.provenance, **fitted_on(wafers_of(selected, folds, f"fold{fold}")), "cell": cell}
    arrays = {"cell": np.array([json.dumps(cell, sort_keys=True)]), "classes": np.array(labels)}
    for split, part in sets.items():
        arrays |= {f"{split}_features": outputs[split][0], f"{split}_labels": part.labels, f"{split}_ids": part.ids}
    test, probabilities = splits["test"], outputs["test"][1]
    predictions = prediction_table(
        cell, "softmax", test.ids, test.labels, probabilities.argmax(1), labels, probabilities
    )
    write_weights(snakemake.output.checkpoint, model.state_dict(), provenance)
    write_h5(snakemake.output.features, arrays, provenance)
    write_table(snakemake.output.predictions, predictions, provenance)
    write_table(snakemake.output.history, pd.DataFrame(history), provenance)
