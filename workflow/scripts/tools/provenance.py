"""Makes the RO-Crate of a finished study: its folder becomes the crate, with the code and the settings beside it."""

from waferbench.engine.job import Job, run
from waferbench.tracks import all_tracks, settings_model


def make(job: Job) -> None:
    import sys
    from pathlib import Path

    from waferbench.tools.provenance.making import make_crate

    params = job.snakemake.params
    workflow = Path(params.workflow) if params.workflow else None
    told = make_crate(job.settings, all_tracks(), params.scripts, params.python, workflow, params.snakefile)
    print(told, file=sys.__stdout__)


run(make, snakemake, settings_model(all_tracks()), kept=False)
