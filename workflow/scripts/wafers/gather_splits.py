"""Makes the study's fold table and audit table from those of its protocols and seeds."""

import pandas as pd

from waferbench.base.artifacts import read_table, write_table
from waferbench.engine.job import Job

with Job(snakemake) as job:
    for name, paths in snakemake.input.items():
        table = pd.concat([read_table(path) for path in paths], ignore_index=True)
        write_table(snakemake.output[name], table, job.provenance)
