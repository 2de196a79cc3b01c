"""The crate of a finished study made: its folder becomes the crate, with the code and the settings beside it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from waferbench.base.errors import InputError
from waferbench.base.files import atomic
from waferbench.config.study import Dataset, StudySettings
from waferbench.tools.plan import planned_outputs
from waferbench.tools.provenance.crate import Made, build_crate
from waferbench.tools.provenance.files import CODE, SETTINGS, Outside, copy_workflow, outside, packages, write_settings
from waferbench.tools.provenance.jobs import MadeJob, digests_of, gather_jobs, require_finished

if TYPE_CHECKING:
    from waferbench.tracks import Track


def make_crate(
    settings: StudySettings,
    tracks: Iterable[Track],
    scripts: Mapping[str, str],
    python: str = sys.executable,
    workflow: Path | None = Path(),
    snakefile: str = "",
) -> str:
    """Write a study's ``ro-crate-metadata.json``, and what the crate holds beside the study's own files.

    Paths are from the working directory, which holds ``results``.

    Args:
        settings: of the whole study.
        tracks: all; those whose page is there are in the crate.
        scripts: of each rule, its path in the folder of scripts without suffix.
        python: the interpreter that has Snakemake.
        workflow: its folder; None where Snakemake reads it from a repository.
        snakefile: that the study runs by, where it is not that of the working directory.

    Returns:
        What was made, for the reader.

    Raises:
        InputError: the workflow's code is not at hand, the study is not finished, or what lies there is not what its
            artifacts were made from.
    """
    if workflow is None:
        raise InputError(
            "provenance: found rules read from a repository, expected a clone, whose code goes into the crate; clone "
            "that repository at the same version, then here: snakemake provenance -s CLONE/Snakefile and your options"
        )
    root, study = Path(), Path("results", settings.study)
    there = [track for track in tracks if (study / track.page).exists()]
    options = [*(track.target for track in there), "--configfile", str(write_settings(settings, study))]
    options += ["--snakefile", snakefile] if snakefile else []
    outputs = planned_outputs(options, root, python)
    require_finished(outputs)
    inputs = [path for output in outputs for path in output.inputs or ()]
    digests = digests_of([*(output.path for output in outputs), *inputs], root)
    jobs = gather_jobs(outputs, root, study)
    told = {job.rule: job.settings for job in jobs if job.settings is not None}
    used = [track.weights(told, settings.weights) for track in there]
    made = Made(
        study=settings.study,
        folder=study,
        questions=[track.question for track in there],
        jobs=jobs,
        scripts=scripts,
        code=frozenset(copy_workflow(workflow, study)),
        digests=digests,
        seeds=[settings.seed + repeat for repeat in range(settings.repeats)],
        data=_data(settings.dataset, jobs),
        weights={name: thing for things in used for name, thing in things.items()},
        packages=packages(workflow / "requirements.txt"),
    )
    target = study / "ro-crate-metadata.json"
    with atomic(target) as temporary:
        temporary.write_text(json.dumps(build_crate(made), indent=1, ensure_ascii=False) + "\n")
    return (
        f"{target}: {len(jobs)} jobs and {len(outputs)} artifacts, with the workflow in {study / CODE} and its "
        f"settings in {study / SETTINGS}; the folder is the crate"
    )


def _data(dataset: Dataset, jobs: Sequence[MadeJob]) -> Outside | None:
    if dataset.source == "simulated":
        return None
    data = outside(Path(dataset.path), "the wafers", source=dataset.source)
    if not any(job.data == data.sha256 or data.path in job.inputs for job in jobs):
        raise InputError(
            f"{data.path}: the study was made from another content than lies there now (sha256 {data.sha256[:12]}...); "
            "put that back, or delete the study's folder data and run the study again"
        )
    return data
