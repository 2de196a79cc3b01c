"""Makes the fold table of a protocol: for every fold, which selected wafers train, validate and test, and which are
withheld for the oracle or spare.

The assignment depends on the folds' own seed alone; the run's seed names the column that every later table has: repeats
of a study test the same wafers.
"""

from waferbench.config.stages import MakeFolds
from waferbench.engine.job import Job, run


def make_folds(job: Job[MakeFolds]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import protocol, replicate_of
    from waferbench.base.tables import TABLES
    from waferbench.wafers.splitting import replicate_table, split_table, with_reserve, with_spare
    from waferbench.wafers.table import fold_groups

    settings, chosen = job.settings, protocol(job.settings.protocol)
    selected = read_table(job.input.selected)
    wafers, labels = selected["wafer_id"].to_numpy(), selected["label"].to_numpy()
    if chosen.replicates:
        table = replicate_table(wafers, selected["drawn_for"].to_numpy(), chosen)
    else:
        groups = fold_groups(selected, chosen.group)
        table = split_table(wafers, labels, chosen, settings.fold_seed, groups)
    table = with_reserve(table, selected, settings.reserve, settings.fold_seed, labels_of(settings.classes))
    table = with_spare(table, selected, settings.max_train_per_class)
    replicates = [replicate_of(chosen.name, fold) for fold in table["fold"]]
    table = table.assign(protocol=chosen.name, seed=settings.seed, replicate=replicates)
    write_table(job.output.folds, table[list(TABLES["folds"])], job.provenance)


run(make_folds, snakemake, MakeFolds)
