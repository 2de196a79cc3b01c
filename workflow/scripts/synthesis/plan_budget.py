"""Makes the plan of one fold's budget: how many wafers every condition adds to each class."""

from waferbench.config.synthesis.stages import PlanBudget
from waferbench.engine.job import Job, run


def plan_budget(job: Job[PlanBudget]) -> None:
    from waferbench.base.artifacts import read_table, write_table
    from waferbench.base.names import labels_of
    from waferbench.base.protocols import protocol, run_columns
    from waferbench.synthesis.budget import plan

    settings = job.settings
    table = plan(
        read_table(job.input.selected),
        read_table(job.input.folds),
        job.fold,
        settings.budget,
        labels_of(settings.classes),
        protocol(settings.protocol).leaky,
    )
    table = table.assign(**run_columns(settings.protocol, settings.seed, job.fold))
    write_table(job.output.plan, table, job.provenance)


run(plan_budget, snakemake, PlanBudget)
