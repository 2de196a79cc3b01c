"""Makes the circular-shape filter of one scope (a fold, or all wafers): thresholds and the small network.

Both come from the scope's training wafers; the fold's validation wafers say how it does on wafers it has not seen.
"""

from waferbench.base.artifacts import read_table, write_json, write_weights
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.shape.filter import fit, rejection_rates, score
from waferbench.wafers.folds import read_folds, wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.store import read_store, slugs

UNSEEN_WAFERS = 300  # of the validation split, corrupted to measure the rejection rate

with Job(snakemake) as job:
    settings, scope = job.settings, job.wildcards["scope"]
    store = read_store(snakemake.input.store)
    selected, folds = read_table(snakemake.input.selected), read_folds(snakemake.input)
    selected = selected[selected["label"].isin(slugs(settings["classes"]).values())]
    wafers = wafers_of(selected, folds, scope)
    level = settings["render"]["levels"][1]
    images = render(store.take(wafers["row"]), **settings["render"])
    shape_filter = fit(images, settings["shape_filter"], settings["seed"], device(job.gpus, job.threads), level)

    facts = {"pass_rate_train": float(score(shape_filter, images)["passes"].mean()), "pass_rate_val": None}
    unseen = images
    if scope != "pooled":  # a pooled filter has seen every wafer
        validation = wafers_of(selected, folds, scope, "val").sample(frac=1, random_state=settings["seed"])
        unseen = render(store.take(validation["row"]), **settings["render"])
        facts["pass_rate_val"] = float(score(shape_filter, unseen)["passes"].mean())
    facts["rejection_rate"] = rejection_rates(shape_filter, unseen[:UNSEEN_WAFERS], settings["seed"])

    provenance = {**job.provenance, **fitted_on(wafers)}
    write_weights(snakemake.output.cnn, shape_filter.net.state_dict(), provenance)
    write_json(snakemake.output.thresholds, {**shape_filter.to_json(), **facts}, provenance)
