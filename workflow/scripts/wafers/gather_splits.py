"""Makes the study's fold table and audit table from those of its protocols and seeds."""

from waferbench.config.stages import Nothing
from waferbench.engine.job import Job, run


def gather(job: Job[Nothing]) -> None:
    import pandas as pd

    from waferbench.base.artifacts import read_table, write_table

    for name, paths in job.input.items():
        table = pd.concat([read_table(path) for path in paths], ignore_index=True)
        write_table(job.output[name], table, job.provenance)


run(gather, snakemake, Nothing)
