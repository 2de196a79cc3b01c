"""Makes the quality table of one source in one scope, and each sample's nearest training wafer.

Every class enters with the same number of samples, ``pool.n_accepted`` where there are as many: stage ``raw`` is the
first so many drawn, stage ``kept`` the pool behind the shape filter.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from waferbench.artifacts import read_h5, read_table, read_weights, write_table
from waferbench.folds import wafers_of
from waferbench.job import Job
from waferbench.quality.features import Features
from waferbench.quality.measure import Memory, balanced_subset, feature_rows, table
from waferbench.render import render, snap_greys
from waferbench.runtime import device
from waferbench.seeds import derive_seed
from waferbench.wafers import read_store, slugs

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
    selected, folds = read_table(snakemake.input.selected), read_table(snakemake.input.folds)
    selected = selected[selected["label"].isin(labels)]
    real = {}
    for split in ("train", "test"):
        wafers = wafers_of(selected, folds, scope, split)
        if scope == "pooled" and split == "test":  # nothing is held out of a pooled generator
            wafers = wafers.iloc[:0]
        rng = np.random.default_rng(derive_seed(seed, "real", scope, split))
        wafers = wafers.iloc[balanced_subset(wafers["label"].to_numpy(), quality["max_real"], rng)]
        images = render(store.take(wafers["row"]), **settings["render"])
        real[split] = (images, wafers["label"].to_numpy(), network(images))
        if split == "train":
            real_rows = wafers["row"].to_numpy()

    scores = read_table(snakemake.input.scores)
    files = {Path(path).stem: path for path in snakemake.input.samples}
    images, of, index, raw, kept = [], [], [], [], []
    for label in labels:
        mine = scores[scores["label"] == label].sort_values("index")
        used = mine[(mine["index"] < settings["n_accepted"]) | mine["in_pool"]]
        images.append(read_h5(files[label], ["images"])["images"][used["index"].to_numpy()])
        of += [label] * len(used)
        index.append(used["index"].to_numpy())
        raw.append((used["index"] < settings["n_accepted"]).to_numpy())
        kept.append(used["in_pool"].to_numpy(bool))
    images, of = np.concatenate(images), np.array(of, dtype=object)
    images = snap_greys(images, levels) if settings["render"]["snap"] else images
    features = network(images)
    memory = Memory(real["train"], real["test"], levels, seed, target)

    masks = {"raw": np.concatenate(raw), "kept": np.concatenate(kept)}
    rows, name = {}, "fid" if network.is_inception else "frechet"
    for stage, mask in masks.items():
        if stage == "kept" and np.array_equal(mask, masks["raw"]):  # the filter does not apply to this source
            rows[stage] = [{**row, "stage": stage} for row in rows["raw"]]
            continue
        found, twins = memory.rows(images[mask], features[mask], of[mask], labels)
        rows[stage] = [{**row, "stage": stage, "reference": "train"} for row in found]
        for reference, (_, real_labels, real_features) in real.items():
            if len(real_labels):
                found = feature_rows(features[mask], of[mask], real_features, real_labels, labels, quality, seed, name)
                rows[stage] += [{**row, "stage": stage, "reference": reference} for row in found]
    fold = -1 if scope == "pooled" else int(scope.removeprefix("fold"))
    source = job.wildcards["source"]
    frame = table(rows["raw"] + rows["kept"], protocol=settings["protocol"], seed=seed, fold=fold, source=source)
    write_table(snakemake.output.quality, frame.assign(network=network.name), job.provenance)
    mask = masks["kept"]  # the last stage whose neighbours were looked for: the same samples where the filter keeps all
    pairs = pd.DataFrame({"source": source, "label": of[mask], "index": np.concatenate(index)[mask]})
    pairs["row"], pairs["hamming"] = real_rows[twins["nearest"].to_numpy()], twins["hamming"].to_numpy()
    write_table(snakemake.output.closest, pairs, job.provenance)
