"""Makes a condition's row of the texture table: whether its wafers are told from real ones, and what that tells."""

from waferbench.config.synthesis.stages import MeasureTexture
from waferbench.engine.job import Job, run

MOST = 400  # images of each origin


def measure(job: Job[MeasureTexture]) -> None:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import run_columns
    from waferbench.base.scope import Fold
    from waferbench.base.seeds import derive_seed
    from waferbench.base.tables import TABLES
    from waferbench.classification.data import fit_samples
    from waferbench.images.store import read_images
    from waferbench.synthesis.texture import matched, origin_tells, separability
    from waferbench.wafers.folds import wafers_of
    from waferbench.wafers.render import render
    from waferbench.wafers.store import read_store

    settings, condition = job.settings, job.wildcards["condition"]
    labels, seed = labels_of(settings.classes), derive_seed(settings.seed, job.fold, "texture", condition)
    selected, folds = read_table(job.input.selected), read_table(job.input.folds)
    train = wafers_of(selected, folds, Fold(job.fold))
    train = train[train["label"].isin(labels)]
    added = read_table(job.input.injection).query("split == 'train'")
    real_at, added_at = matched(
        train["label"].to_numpy(), added["label"].to_numpy(), MOST // len(labels), np.random.default_rng(seed)
    )
    real = render(read_store(job.input.store).take(train["row"].iloc[real_at]), settings.drawn)
    files = {Path(path).stem: path for path in job.input.samples}
    chosen = [
        fit_samples(read_images(files[label]).take(mine["index"], files[label]), settings.drawn)
        for label, mine in added.iloc[added_at].groupby("label", sort=True)
    ]
    auc = separability(real, np.concatenate(chosen), seed) if chosen else float("nan")
    tells = origin_tells(train["label"].value_counts().to_dict(), added["label"].value_counts().to_dict())
    row = {
        **run_columns(settings.protocol, settings.seed, job.fold),
        **{"condition": condition, "source": Path(job.input.samples[0]).parents[1].name},
        **{"n_added": len(added), "auc": auc, **tells},
    }
    write_table(job.output.texture, pd.DataFrame([row])[list(TABLES["texture"])], job.provenance)


run(measure, snakemake, MeasureTexture)
