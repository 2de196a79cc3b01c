"""Makes the shape scores of one source's samples: every score, the verdict with its reason, the pool."""

from waferbench.config.synthesis.stages import ApplyShapeFilter
from waferbench.engine.job import Job, run


def apply_filter(job: Job[ApplyShapeFilter]) -> None:
    from pathlib import Path

    import pandas as pd

    from waferbench.base.artifacts import write_table
    from waferbench.base.protocols import run_columns
    from waferbench.base.tables import TABLES
    from waferbench.images.store import read_images
    from waferbench.learning.runtime import device
    from waferbench.synthesis.shape.filter import admit, read_filter, score

    settings = job.settings
    shape_filter = read_filter(job.input.thresholds, job.input.cnn, device(job.gpus, job.threads))
    parts = []
    for path in job.input.samples:
        scores = admit(score(shape_filter, read_images(path).images), settings.filtered, settings.n_accepted)
        parts.append(scores.assign(label=Path(path).stem, index=range(len(scores))))
    table, source = pd.concat(parts, ignore_index=True), job.wildcards["source"]
    table = table.assign(**run_columns(settings.protocol, settings.seed, job.scope.column), source=source)
    write_table(job.output.scores, table[list(TABLES["shape_filter"])], job.provenance)


run(apply_filter, snakemake, ApplyShapeFilter)
