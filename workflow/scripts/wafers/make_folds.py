"""Makes the fold table of a protocol: for every fold, which selected wafers train, validate and test.

Settings: ``folds.seed``, on which alone the assignment depends, ``protocol``, and the run's ``seed``, which names the
column that every later table has: repeats of a study test the same wafers.
"""

from waferbench.base.artifacts import read_table, write_table
from waferbench.base.protocols import protocol
from waferbench.engine.job import Job
from waferbench.wafers.ingest.table import fold_groups
from waferbench.wafers.splitting import split_table

with Job(snakemake) as job:
    chosen = protocol(job.settings["protocol"])
    selected = read_table(snakemake.input.selected)
    groups = fold_groups(selected, chosen.group)
    wafers, labels = selected["wafer_id"].to_numpy(), selected["label"].to_numpy()
    table = split_table(wafers, labels, chosen, job.settings["folds"]["seed"], groups)
    table.insert(0, "protocol", chosen.name)
    table.insert(1, "seed", job.settings["seed"])
    write_table(snakemake.output[0], table, job.provenance)
