"""One table of a study from the tables of its folds and sources."""

from waferbench.config.stages import CollectTables
from waferbench.engine.job import Job, run


def gather(job: Job[CollectTables]) -> None:
    import pandas as pd

    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.tables import TABLES

    parts, columns = [read_table(path) for path in job.input], list(TABLES[job.settings.table])
    # a study without synthesis has the same table, empty
    table = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    write_table(job.output.table, table, job.provenance)


run(gather, snakemake, CollectTables)
