"""Makes the fold table: for every fold, which selected wafers train, validate and test.

Settings: ``folds`` (``protocol``, ``n_splits``, ``seed``, ``group``) and the study's ``seed``, which names the column
that every later table has; the assignment depends on ``folds.seed`` alone.
"""

from waferbench.artifacts import read_table, write_table
from waferbench.ingest.table import fold_groups
from waferbench.job import Job
from waferbench.splitting import assign_folds, fold_table

with Job(snakemake) as job:
    folds = job.settings["folds"]
    selected = read_table(snakemake.input.selected)
    test_fold = assign_folds(
        selected["label"].to_numpy(), folds["n_splits"], folds["seed"], fold_groups(selected, folds["group"])
    )
    table = fold_table(selected["wafer_id"].to_numpy(), test_fold, folds["n_splits"])
    table.insert(0, "protocol", folds["protocol"])
    table.insert(1, "seed", job.settings["seed"])
    write_table(snakemake.output[0], table, job.provenance)
