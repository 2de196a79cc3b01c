"""One table of a study from the tables of its folds and sources."""

import pandas as pd

from waferbench.base.artifacts import read_table, write_table
from waferbench.engine.job import Job

COLUMNS = {
    "quality": [
        *("protocol", "seed", "fold", "source", "label", "stage", "reference", "metric"),
        *("value", "low", "high", "n", "n_real", "network"),
    ],
    "shape_filter": [
        *("protocol", "seed", "fold", "source", "label", "index", "iou", "off_disc", "radius", "offset", "cnn"),
        *("passes", "kept", "reason", "in_pool"),
    ],
    "agreement": ["protocol", "seed", "fold", "source", "label", "index", "y_judge", "p_intended"],
}

with Job(snakemake) as job:
    parts = [read_table(path) for path in snakemake.input]
    # a study without synthesis has the same table, empty
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS[job.settings["table"]])
    write_table(snakemake.output.table, table, job.provenance)
