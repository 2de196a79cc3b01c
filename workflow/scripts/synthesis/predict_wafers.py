"""Makes the predictions of the study's best cell for the user's own wafers, and a gallery of them."""

import sys
from pathlib import Path

from waferbench.base.artifacts import read_json, read_table, write_table
from waferbench.classification.data import drawn_for
from waferbench.classification.predict.gallery import write_gallery
from waferbench.classification.predict.model import read_neighbours, temperature_of
from waferbench.classification.predict.table import accuracy, predict_wafers
from waferbench.classification.trained import load_classifier
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.wafers.ingest import read_unlabelled
from waferbench.wafers.ingest.isolated import read_isolated
from waferbench.wafers.store import open_store, slugs

with Job(snakemake, shared=False) as job:
    settings, given = job.settings, snakemake.input
    cell, classifier = read_json(given.model), settings["classifier"]
    labels = slugs(cell["classes"])
    names, drawn = list(labels.values()), drawn_for(settings["render"], classifier)
    wafers, bins = read_isolated(read_unlabelled, settings["wafers"], settings["pass_bins"])
    training = read_table(given.wafers)
    model, normalise = load_classifier(
        given.checkpoint, cell["backbone"], names, classifier, drawn["levels"], settings["weights"][cell["backbone"]]
    )
    neighbours = read_neighbours(given.features, given.svm, names, training["wafer_id"])
    seen = training[training["wafer_id"].isin(neighbours.ids)]
    table = predict_wafers(
        wafers,
        bins,
        labels,
        model,
        normalise,
        neighbours,
        temperature_of(given.validation, names),
        drawn,
        {"precision": classifier["precision"], "neighbours": settings["neighbours"], "head": cell["head"]},
        device(job.gpus, job.threads),
        seen,
        job.machine["svm_memory_gb"],
    )
    right, known = accuracy(table)
    if known:
        told = f"{right} of {known} wafers of a class known to the study (training wafers left out) are called by it"
        print(f"{told}: {right / known:.1%}", file=sys.stderr)
    facts = {
        **cell,
        "study": job.study.name,
        "file": Path(settings["wafers"]).name,
        "total": len(table),
        "neighbours": settings["neighbours"],
    }
    write_gallery(
        snakemake.output.gallery,
        given.template,
        table,
        wafers.store,
        seen,
        open_store(given.store),
        labels,
        settings["render"],
        settings["gallery"],
        facts,
    )
    write_table(snakemake.output.predictions, table, job.provenance)
