"""Makes the list of the study's networks: each known, its weights found and unaltered, its adapters' targets there."""

from waferbench.config.synthesis.stages import CheckNetworks
from waferbench.engine.job import Job, run


def check(job: Job[CheckNetworks]) -> None:
    from waferbench.base.artifacts import write_json
    from waferbench.synthesis.needs import looks

    found = {name: look() for name, look in looks(job.settings, job.weights).items()}
    write_json(job.output.networks, {"networks": found}, job.provenance)


run(check, snakemake, CheckNetworks, kept=False)
