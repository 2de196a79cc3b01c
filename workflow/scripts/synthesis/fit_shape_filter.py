"""Makes the circular-shape filter of one scope (a fold, or all wafers): thresholds and the small network.

Both come from the scope's training wafers; the fold's validation wafers say how it does on wafers it has not seen.
"""

from waferbench.config.synthesis.stages import FitShapeFilter
from waferbench.engine.job import Job, run

UNSEEN_WAFERS = 300  # of the validation split, corrupted to measure the rejection rate


def fit_filter(job: Job[FitShapeFilter]) -> None:
    from waferbench.base.artifacts import write_json, write_weights
    from waferbench.learning.runtime import device
    from waferbench.synthesis.shape.filter import fit, rejection_rates, score
    from waferbench.wafers.render import render
    from waferbench.wafers.training import TrainingWafers

    settings, drawing, seed = job.settings, job.settings.render, job.settings.seed
    wafers, validation = TrainingWafers.splits(job.files, job.scope, settings.classes, "train", "val")
    images = wafers.images(drawing)
    shape_filter = fit(images, settings.shape_filter, seed, device(job.gpus, job.threads), drawing.levels[1])

    facts = {"pass_rate_train": float(score(shape_filter, images)["passes"].mean()), "pass_rate_val": None}
    unseen = images
    if not job.scope.pooled:  # a pooled filter has seen every wafer
        unseen = render(validation.store.take(validation.table.sample(frac=1, random_state=seed)["row"]), drawing)
        facts["pass_rate_val"] = float(score(shape_filter, unseen)["passes"].mean())
    facts["rejection_rate"] = rejection_rates(shape_filter, unseen[:UNSEEN_WAFERS], seed)

    provenance = {**job.provenance, **wafers.provenance}
    write_weights(job.output.cnn, shape_filter.net.state_dict(), provenance)
    write_json(job.output.thresholds, {**shape_filter.to_json(), **facts}, provenance)


run(fit_filter, snakemake, FitShapeFilter)
