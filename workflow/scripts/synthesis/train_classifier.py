"""Makes one trained classifier: weights, penultimate features, softmax predictions on validation and test, history."""

import json

import numpy as np
import pandas as pd
import torch

from waferbench.base.artifacts import read_table, write_h5, write_table, write_weights
from waferbench.base.seeds import derive_seed
from waferbench.classification.data import drawn_for, real_splits, with_injected
from waferbench.classification.predictions import prediction_table
from waferbench.classification.train import Normaliser, predict, train_classifier
from waferbench.engine.job import Job
from waferbench.learning.backbones import create_backbone, folded, unfold_batch_norms
from waferbench.learning.runtime import Checkpoint, device, seed_everything
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.store import read_store, slugs

with Job(snakemake) as job:
    settings, wild = job.settings, job.wildcards
    classifier, fold = settings["classifier"], int(wild["fold"])
    labels = list(slugs(settings["classes"]).values())
    selected, folds = read_table(snakemake.input.selected), read_table(snakemake.input.folds)
    size, drawn = classifier["image_size"], drawn_for(settings["render"], classifier)
    store, injection = read_store(snakemake.input.store), read_table(snakemake.input.injection)
    real = real_splits(store, selected, folds, fold, labels, drawn)
    sets, counts = with_injected(real, injection, snakemake.input.get("samples", []), labels, drawn)

    place = device(job.gpus, job.threads)
    seed = derive_seed(settings["seed"], fold, wild["backbone"])
    seed_everything(seed)
    backbone, weights = settings["backbone"], job.weights(settings["weights"])
    model, mean, std = create_backbone(
        backbone["name"], len(labels), backbone["pretrained"], weights, size, classifier["drop_path"]
    )
    normalise = Normaliser(mean, std, size, classifier["input"], drawn["levels"])
    if backbone["pretrained"] and folded(backbone["name"], weights):
        some = sets["train"].images[:: max(1, len(sets["train"]) // 512)]
        unfold_batch_norms(model, normalise(torch.from_numpy(some).float()))
    history = train_classifier(
        model,
        normalise,
        sets["train"],
        sets["val"],
        classifier,
        settings["condition"]["augment"],
        seed,
        place,
        Checkpoint(job.checkpoints),
    )
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
    predictions = {}
    for split in ("val", "test"):
        part, probabilities = sets[split], outputs[split][1]
        predictions[split] = prediction_table(
            cell, "softmax", part.ids, part.labels, probabilities.argmax(1), labels, probabilities
        )
    write_weights(snakemake.output.checkpoint, model.state_dict(), provenance)
    write_h5(snakemake.output.features, arrays, provenance)
    write_table(snakemake.output.predictions, predictions["test"], provenance)
    write_table(snakemake.output.validation, predictions["val"], provenance)
    write_table(snakemake.output.history, pd.DataFrame(history), provenance)
