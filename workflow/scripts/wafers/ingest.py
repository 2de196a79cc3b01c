"""Makes the wafer store and the wafer table from the configured source.

Where the data lie is the job's ``place``: the same data at another place make the same artifacts.
"""

from waferbench.config.stages import Ingest
from waferbench.engine.job import Job, run


def ingest(job: Job[Ingest]) -> None:
    from waferbench.base.artifacts import write_table
    from waferbench.wafers.ingest import read_wafers
    from waferbench.wafers.ingest.isolated import read_isolated
    from waferbench.wafers.simulate.dataset import simulated_wafers
    from waferbench.wafers.simulate.replicates import replicated_wafers
    from waferbench.wafers.store import write_store
    from waferbench.wafers.table import wafer_table

    settings, drawn_for = job.settings, []
    if settings.replicated:
        seed, classes = settings.seed, settings.classes
        wafers, drawn_for = replicated_wafers(settings.simulated, settings.replicated, seed, classes)
    elif settings.source == "simulated":
        wafers = simulated_wafers(settings.simulated, settings.seed, settings.classes)
    else:
        wafers, _ = read_isolated(lambda path: (read_wafers(path, settings), []), job.place.path)
    write_store(job.output.store, wafers.store, job.provenance)
    write_table(job.output.wafers, wafer_table(wafers, drawn_for), job.provenance)


run(ingest, snakemake, Ingest)
