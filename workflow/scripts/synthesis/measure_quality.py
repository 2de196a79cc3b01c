"""Makes the quality table of one source in one scope, and each sample's nearest training wafer.

Every class enters with the same number of samples, ``pool.n_accepted`` where there are as many: stage ``raw`` is the
first so many drawn, stage ``kept`` the pool behind the shape filter.
"""

from waferbench.config.synthesis.stages import MeasureQuality
from waferbench.engine.identities import hold_weights
from waferbench.engine.job import Job, run


def measure(job: Job[MeasureQuality]) -> None:
    from pathlib import Path

    import numpy as np

    from waferbench.base.artifacts import read_table, read_weights, write_table
    from waferbench.base.protocols import run_columns
    from waferbench.learning.backbones import unpinned
    from waferbench.learning.runtime import device
    from waferbench.synthesis.quality.features import Features
    from waferbench.synthesis.quality.measure import Memory, Real, feature_rows, table
    from waferbench.synthesis.quality.memorisation import closest
    from waferbench.synthesis.quality.selection import real_wafers, samples
    from waferbench.wafers.render import snap_greys
    from waferbench.wafers.training import TrainingWafers

    settings, quality, drawing, seed = job.settings, job.settings.quality, job.settings.render, job.settings.seed
    target = device(job.gpus, job.threads)
    weights = job.weights(settings.weights)

    def network(job: Job[MeasureQuality]) -> Features:
        classifier = job.input.get("classifier")
        trained = read_weights(classifier) if classifier else None
        return Features(quality.network, quality.image_size, weights, target, trained)

    features_of = job.once("network", network)
    if "classifier" not in job.files:
        hold_weights(features_of.name, settings.weights, job.machine.weights.folder)
        if not settings.weights.own_file and (reason := unpinned(features_of.name, weights)):
            job.unshared(reason)

    def real_side(job: Job[MeasureQuality]) -> tuple[TrainingWafers, dict[str, Real], Memory]:
        train, test = TrainingWafers.splits(job.files, job.scope, settings.classes, "train", "test")
        at = real_wafers(train.labels, job.scope, "train", quality.max_real, seed)
        test = test.at(real_wafers(test.labels, job.scope, "test", quality.max_real, seed))
        every, held_out = train.images(drawing), test.images(drawing)
        real = {
            "train": (every[at], train.labels[at], features_of(every[at])),
            "test": (held_out, test.labels, features_of(held_out)),
        }
        return train, real, Memory(real["train"], real["test"], drawing.levels, seed, target, every, at)

    train, real, memory = job.once("real", real_side)
    labels, source = list(train.classes), job.wildcards["source"]
    files = {Path(path).stem: path for path in job.input.samples}
    files = {label: files[label] for label in labels}
    drawn = samples(files, read_table(job.input.scores), settings.n_accepted)
    images = snap_greys(drawn.images, drawing.levels) if drawing.snap else drawn.images
    features = features_of(images)

    rows, name = {}, "fid" if features_of.is_inception else "frechet"
    for stage, mask in drawn.stages.items():
        if stage == "kept" and np.array_equal(mask, drawn.stages["raw"]):  # the filter does not apply to this source
            rows[stage] = [{**row, "stage": stage} for row in rows["raw"]]
            continue
        of = drawn.label[mask]
        found, twins = memory.rows(images[mask], features[mask], of, labels)
        rows[stage] = [{**row, "stage": stage, "reference": "train"} for row in found]
        for reference, other in (("train", "test"), ("test", "train")):
            (_, real_labels, real_features), (_, other_labels, other_features) = real[reference], real[other]
            further = (other_features, other_labels) if len(other_labels) else None  # none beside a pooled generator
            if len(real_labels):
                args = features[mask], of, real_features, real_labels, labels, quality, seed, name, further
                found = feature_rows(*args)
                rows[stage] += [{**row, "stage": stage, "reference": reference} for row in found]
    about = {**run_columns(settings.protocol, seed, job.scope.column), "source": source}
    measured = table(rows["raw"] + rows["kept"], **about, network=features_of.name)
    write_table(job.output.quality, measured, job.provenance)
    mask = drawn.stages["kept"]  # the last stage whose twins were looked for: the same samples where all are kept
    pairs = closest(twins, train.table, source, drawn.label[mask], drawn.index[mask])
    write_table(job.output.closest, pairs, job.provenance)


run(measure, snakemake, MeasureQuality)
