"""Makes the study's table of budgets, and refuses what cannot be kept, among the first jobs."""

from waferbench.config.synthesis.stages import CheckBudget
from waferbench.engine.job import Job, run


def check_budget(job: Job[CheckBudget]) -> None:
    import pandas as pd

    from waferbench.base.artifacts import read_table, write_table
    from waferbench.synthesis.budget import require_room, require_wafers, room

    settings = job.settings
    plans = pd.concat([read_table(path) for path in job.input.plans], ignore_index=True)
    require_wafers(plans, settings.sources)
    table = room(plans, settings.sources, settings.budget)
    require_room(table, settings.sources, settings.budget)
    write_table(job.output.budget, table, job.provenance)


run(check_budget, snakemake, CheckBudget)
