"""Makes the ceiling of a diffusion source: what a judge says of held-out wafers before and after its autoencoder."""

from waferbench.config.synthesis.stages import JudgeReconstructions
from waferbench.engine.bases import hold_base
from waferbench.engine.job import Job, run


def judge(job: Job[JudgeReconstructions]) -> None:
    import numpy as np

    from waferbench.base.artifacts import write_table
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import run_columns
    from waferbench.base.scope import Fold
    from waferbench.base.tables import TABLES
    from waferbench.classification.data import fit_samples
    from waferbench.classification.train import predict
    from waferbench.classification.trained import load_classifier
    from waferbench.learning.runtime import device
    from waferbench.synthesis.diffusion.base import find_base, load_base
    from waferbench.synthesis.diffusion.reconstruct import first_of_each, judge_reconstructions, reconstruct
    from waferbench.wafers.training import TrainingWafers

    settings, source, classifier = job.settings, job.settings.source, job.settings.classifier
    labels, target, levels = labels_of(settings.classes), device(job.gpus, job.threads), settings.drawn.levels
    folder = job.input.get("base") or find_base(source.base, job.machine.weights, settings.base_files)
    if "base" not in job.files and (reason := hold_base(source.base, folder, settings.base_files, job.study)):
        job.unsure(reason)
    vae = load_base(folder, target).vae
    weights = job.weights(settings.weights)
    model, normalise = load_classifier(job.input.checkpoint, settings.backbone, labels, classifier, levels, weights)
    model.to(target)

    def called(images: np.ndarray) -> np.ndarray:
        fitted = fit_samples(images, settings.drawn)
        return predict(model, normalise, fitted, target, classifier.precision)[1].argmax(1)

    wafers = TrainingWafers.read(job.files, Fold(job.fold), settings.classes, "test")
    wafers = wafers.at(first_of_each(wafers.labels))
    images = wafers.images(settings.render)
    decoded = reconstruct(vae, images, source.size, target, source.precision)
    table = judge_reconstructions(images, decoded, wafers.labels, labels, called).assign(
        **run_columns(settings.protocol, settings.seed, job.fold), source=job.wildcards["source"]
    )
    write_table(job.output.judged, table[list(TABLES["reconstruction"])], job.provenance)


run(judge, snakemake, JudgeReconstructions)
