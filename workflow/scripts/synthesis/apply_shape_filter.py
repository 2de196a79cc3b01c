"""Makes the shape scores of one source's samples: every score, the verdict with its reason, the pool."""

from pathlib import Path

import pandas as pd

from waferbench.base.artifacts import read_h5, write_table
from waferbench.engine.job import Job
from waferbench.learning.runtime import device
from waferbench.synthesis.shape.filter import admit, read_filter, score

with Job(snakemake) as job:
    settings, scope, source = job.settings, job.wildcards["scope"], job.wildcards["source"]
    shape_filter = read_filter(snakemake.input.thresholds, snakemake.input.cnn, device(job.gpus, job.threads))
    filtered = source in settings["shape_filter"]["apply_to"]
    parts = []
    for path in snakemake.input.samples:
        scores = score(shape_filter, read_h5(path, ["images"])["images"])
        scores = admit(scores, filtered, settings["n_accepted"])
        scores.insert(0, "label", Path(path).stem)
        scores.insert(1, "index", range(len(scores)))
        parts.append(scores)
    frame = pd.concat(parts, ignore_index=True)
    frame.insert(0, "protocol", settings["protocol"])
    frame.insert(1, "seed", settings["seed"])
    frame.insert(2, "fold", -1 if scope == "pooled" else int(scope.removeprefix("fold")))
    frame.insert(3, "source", source)
    write_table(snakemake.output.scores, frame, job.provenance)
