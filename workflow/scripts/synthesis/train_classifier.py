"""Makes one trained classifier: weights, penultimate features, softmax predictions on validation and test, history."""

from waferbench.config.synthesis.stages import TrainClassifier
from waferbench.engine.identities import hold_weights
from waferbench.engine.job import Job, run


def train(job: Job[TrainClassifier]) -> None:
    import numpy as np
    import pandas as pd
    import torch

    from waferbench.base.artifacts import read_table, write_h5, write_table, write_weights
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import run_columns
    from waferbench.base.scope import Fold
    from waferbench.base.seeds import derive_seed
    from waferbench.classification.data import real_splits, with_injected
    from waferbench.classification.predictions import prediction_table
    from waferbench.classification.symmetries import Symmetric
    from waferbench.classification.train import Normaliser, predict, train_classifier, unseen_wafers
    from waferbench.learning.backbones import create_backbone, folded, unfold_batch_norms, unpinned
    from waferbench.learning.runtime import Checkpoint, device, seed_everything
    from waferbench.wafers.folds import wafers_of
    from waferbench.wafers.leakage import fitted_on
    from waferbench.wafers.store import read_store

    settings, classifier, output = job.settings, job.settings.classifier, job.output
    labels, drawn, name = labels_of(settings.classes), settings.drawn, settings.backbone.name
    selected, folds = read_table(job.input.selected), read_table(job.input.folds)
    real = real_splits(read_store(job.input.store), selected, folds, job.fold, labels, drawn)
    injection = read_table(job.input.injection)
    sets, counts = with_injected(real, injection, job.input.get("samples", []), labels, drawn)

    target, seed = device(job.gpus, job.threads), derive_seed(settings.seed, job.fold, name)
    seed_everything(seed)
    weights, pretrained = job.weights(settings.weights), settings.backbone.pretrained
    model, mean, std = create_backbone(
        name, len(labels), pretrained, weights, classifier.image_size, classifier.drop_path
    )
    if pretrained:
        hold_weights(name, settings.weights, job.machine.weights.folder)
        if not settings.weights.own_file and (reason := unpinned(name, weights)):
            job.unshared(reason)
    normalise = Normaliser(mean, std, classifier.image_size, classifier.input, drawn.levels)
    if pretrained and folded(name, weights):
        some = sets["train"].images[:: max(1, len(sets["train"]) // 512)]
        unfold_batch_norms(model, normalise(torch.from_numpy(some).float()))
    if told := unseen_wafers(classifier, len(sets["train"])):
        job.warn(told)
    states = Checkpoint(job.checkpoints)
    history = train_classifier(
        model, normalise, sets["train"], sets["val"], classifier, settings.augmentation, seed, target, states
    )
    asked = Symmetric(model) if classifier.symmetries else model
    outputs = {
        split: predict(asked, normalise, part.images, target, classifier.precision) for split, part in sets.items()
    }
    if classifier.logit_offsets:
        from waferbench.classification.offsets import cross_fitted, move_head, moved, tune_offsets

        known, raw = sets["val"], outputs["val"][1]
        offsets = tune_offsets(raw, known.labels)
        move_head(model, offsets, name)
        outputs = {split: (features, moved(chances, offsets)) for split, (features, chances) in outputs.items()}
        # what is chosen on these wafers, a head among it, must not see offsets that were tuned on them
        outputs["val"] = outputs["val"][0], cross_fitted(raw, known.labels, known.ids)

    cell = {
        **run_columns(settings.protocol, settings.seed, job.fold),
        **{"backbone": name, "condition": job.wildcards["condition"], **counts, "steps": history[-1]["step"]},
    }
    trained_on = fitted_on(wafers_of(selected, folds, Fold(job.fold)))
    provenance = {**job.provenance, **trained_on, "cell": cell}
    arrays = {"classes": np.array(labels)}
    for split, part in sets.items():
        arrays |= {f"{split}_features": outputs[split][0], f"{split}_labels": part.labels, f"{split}_ids": part.ids}
    write_weights(output.checkpoint, model.state_dict(), provenance)
    write_h5(output.features, arrays, provenance)
    for split, path in (("test", output.predictions), ("val", output.validation)):
        part, chances = sets[split], outputs[split][1]
        table = prediction_table(cell, "softmax", part.ids, part.labels, chances.argmax(1), labels, chances)
        write_table(path, table, provenance)
    write_table(output.history, pd.DataFrame(history), provenance)


run(train, snakemake, TrainClassifier)
