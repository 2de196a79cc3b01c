"""All checks of a study and its machine, as the rule `doctor` has them done."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from waferbench.base.errors import InputError
from waferbench.config.study import StudySettings
from waferbench.tools.doctor import OK, PROBLEM, Finding, cluster, examine, machine, study, table

if TYPE_CHECKING:
    from waferbench.tracks import Track

LOCAL = cluster.Executor()


def visit(
    settings: StudySettings,
    tracks: Iterable[Track],
    memory: Mapping[str, int],
    target: Path,
    executor: cluster.Executor = LOCAL,
) -> str:
    """Look at everything and write the table to ``target``; its text.

    Args:
        settings: of the whole study.
        tracks: those whose own checks are made, too.
        memory: mem_mb by rule.
        executor: what runs the jobs.

    Raises:
        InputError: there is a problem; the table says which.
    """
    folder = Path("results", settings.study)
    here = [("GPU", machine.check_gpu), ("memory", partial(machine.check_memory, memory))]
    checks = [
        ("Python", lambda: [Finding(OK, "Python", sys.version.split()[0])]),
        *(here if executor.name == "local" else []),
        ("wafers", partial(study.check_data, settings.dataset, folder)),
        *(check for track in tracks for check in track.doctor(settings).items()),
        ("artifacts", partial(study.check_artifacts, folder)),
        ("store", partial(study.check_store, folder)),
        ("leftovers", partial(study.check_leftovers, folder)),
        ("cluster", partial(cluster.check_cluster, executor)),
    ]
    text = table(examine(checks))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    if any(line.startswith(PROBLEM) for line in text.splitlines()):
        raise InputError(f"{text.splitlines()[-1]}, named in {target}")
    return text
