"""Makes the RO-Crate of a finished study: its folder becomes the crate, with the code and the settings beside it."""

import json
import sys
from pathlib import Path

from waferbench.base.files import atomic
from waferbench.engine.job import Job
from waferbench.tools.plan import planned_outputs
from waferbench.tools.provenance.crate import Made, build_crate
from waferbench.tools.provenance.files import CODE, SETTINGS, copy_workflow, outside, packages, write_settings
from waferbench.tools.provenance.jobs import digests_of, gather_jobs, require_finished
from waferbench.tools.provenance.weights import used_weights

with Job(snakemake, shared=False) as job:
    settings, root = job.settings, Path()
    overlay = write_settings(settings, job.study)
    outputs = planned_outputs(["--configfile", str(overlay)], root, snakemake.params.python)
    require_finished(outputs)
    inputs = [path for output in outputs for path in output.inputs or ()]
    digests = digests_of([*(output.path for output in outputs), *inputs], root)
    jobs = gather_jobs(outputs, digests, root, job.study)
    dataset = settings["dataset"]
    made = Made(
        study=job.study.name,
        folder=job.study,
        jobs=jobs,
        scripts=snakemake.params.scripts,
        code=frozenset(copy_workflow(root, job.study)),
        digests=digests,
        seeds=snakemake.params.seeds,
        data=None if dataset["source"] == "simulated" else outside(Path(dataset["path"]), "the wafers"),
        weights=used_weights(next(j.settings for j in jobs if j.rule == "check_networks"), job.machine["weights"]),
        packages=packages(root / "requirements.txt"),
    )
    target = job.study / "ro-crate-metadata.json"
    with atomic(target) as temporary:
        temporary.write_text(json.dumps(build_crate(made), indent=1, ensure_ascii=False) + "\n")
    print(
        f"{target}: {len(jobs)} jobs and {len(outputs)} artifacts, with the workflow in {job.study / CODE} and its "
        f"settings in {job.study / SETTINGS}; the folder is the crate",
        file=sys.__stdout__,
    )
