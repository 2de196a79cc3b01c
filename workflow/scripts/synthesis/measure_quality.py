"""Makes the quality table of one source in one scope, and each sample's nearest training wafer.

Every class enters with the same number of samples, ``pool.n_accepted`` where there are as many: stage ``raw`` is the
first so many drawn, stage ``kept`` the pool behind the shape filter.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from waferbench.base.artifacts import read_table, read_weights, write_table
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.quality.features import Features
from waferbench.synthesis.quality.measure import Memory, feature_rows, table
from waferbench.synthesis.quality.selection import real_wafers, samples
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.render import render, snap_greys
from waferbench.wafers.store import read_store, slugs

with Job(snakemake) as job:
    settings, scope, seed = job.settings, job.wildcards["scope"], job.settings["seed"]
    quality, levels = settings["quality"], settings["render"]["levels"]
    labels = list(slugs(settings["classes"]).values())
    target = device(job.gpus, job.threads)
    classifier = snakemake.input.get("classifier")
    trained = read_weights(classifier) if classifier else None
    weights = job.weights(settings["weights"])
    network = Features(quality["network"], quality["image_size"], weights, target, trained)

    store = read_store(snakemake.input.store)
    selected, folds = read_table(snakemake.input.selected), read_folds(snakemake.input)
    selected = selected[selected["label"].isin(labels)]
    train, test = (real_wafers(selected, folds, scope, split, quality["max_real"], seed) for split in ("train", "test"))
    trained_on = wafers_of(selected, folds, scope)
    every = render(store.take(trained_on["row"]), **settings["render"])
    at = np.flatnonzero(trained_on["wafer_id"].isin(train["wafer_id"]))
    pictures = {"train": (train, every[at]), "test": (test, render(store.take(test["row"]), **settings["render"]))}
    real = {side: (images, wafers["label"].to_numpy(), network(images)) for side, (wafers, images) in pictures.items()}

    files = {Path(path).stem: path for path in snakemake.input.samples}
    files = {label: files[label] for label in labels}
    drawn = samples(files, read_table(snakemake.input.scores), settings["n_accepted"])
    images = snap_greys(drawn.images, levels) if settings["render"]["snap"] else drawn.images
    features = network(images)
    memory = Memory(real["train"], real["test"], levels, seed, target, every, at)

    rows, name = {}, "fid" if network.is_inception else "frechet"
    for stage, mask in drawn.stages.items():
        if stage == "kept" and np.array_equal(mask, drawn.stages["raw"]):  # the filter does not apply to this source
            rows[stage] = [{**row, "stage": stage} for row in rows["raw"]]
            continue
        of = drawn.label[mask]
        found, twins = memory.rows(images[mask], features[mask], of, labels)
        rows[stage] = [{**row, "stage": stage, "reference": "train"} for row in found]
        for reference, (_, real_labels, real_features) in real.items():
            if len(real_labels):
                found = feature_rows(features[mask], of, real_features, real_labels, labels, quality, seed, name)
                rows[stage] += [{**row, "stage": stage, "reference": reference} for row in found]
    fold = -1 if scope == "pooled" else int(scope.removeprefix("fold"))
    source = job.wildcards["source"]
    frame = table(rows["raw"] + rows["kept"], protocol=settings["protocol"], seed=seed, fold=fold, source=source)
    write_table(snakemake.output.quality, frame.assign(network=network.name), job.provenance)
    mask = drawn.stages["kept"]  # the last stage whose twins were looked for: the same samples where all are kept
    pairs = pd.DataFrame({"source": source, "label": drawn.label[mask], "index": drawn.index[mask]})
    pairs["row"] = trained_on["row"].to_numpy()[twins["nearest"].to_numpy()]
    pairs["hamming"] = twins["hamming"].to_numpy()
    write_table(snakemake.output.closest, pairs, job.provenance)
