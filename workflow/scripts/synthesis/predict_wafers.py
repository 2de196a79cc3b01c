"""Makes the predictions of the study's best cell for the user's own wafers, and a gallery of them."""

from waferbench.config.classification import PredictWafers
from waferbench.engine.job import Job, run


def predict(job: Job[PredictWafers]) -> None:
    import sys
    from pathlib import Path

    from waferbench.base.artifacts import read_json, read_table, write_table
    from waferbench.base.places import TEMPLATES
    from waferbench.classification.predict.gallery import write_gallery
    from waferbench.classification.predict.model import read_classifier
    from waferbench.classification.predict.table import accuracy, predict_wafers
    from waferbench.learning.runtime import device
    from waferbench.wafers.ingest import read_unlabelled
    from waferbench.wafers.ingest.isolated import read_isolated
    from waferbench.wafers.store import open_store

    settings, given = job.settings, job.input
    cell = read_json(given.model)
    wafers, bins = read_isolated(read_unlabelled, settings.wafers, settings.pass_bins)
    training = read_table(given.wafers)
    classifier = read_classifier(given, cell, settings, job.weights(settings.weights), training["wafer_id"])
    seen = training[training["wafer_id"].isin(classifier.neighbours.ids)]
    table = predict_wafers(wafers, bins, classifier, settings, device(job.gpus, job.threads), seen)
    right, known = accuracy(table)
    if known:
        told = f"{right} of {known} wafers of a class known to the study (training wafers left out) are called by it"
        print(f"{told}: {right / known:.1%}", file=sys.stderr)
    facts = {
        **cell,
        "study": job.study.name,
        "file": Path(settings.wafers).name,
        "total": len(table),
        "neighbours": settings.neighbours,
    }
    write_gallery(
        job.output.gallery, TEMPLATES / "gallery.html.j2", table, wafers.store, seen, open_store(given.store),
        classifier.labels, settings.render, settings.gallery, facts,
    )  # fmt: skip
    write_table(job.output.predictions, table, job.provenance)


run(predict, snakemake, PredictWafers, kept=False)
