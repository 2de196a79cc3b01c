"""All checks of a study and its machine, as the rule `doctor` has them done."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.tools.doctor import PROBLEM, cluster, examine, leftovers, machine, study, table


def visit(settings: Mapping, networks: Mapping, memory: Mapping[str, int], target: Path) -> str:
    """Look at everything and write the table to ``target``; its text.

    Args:
        settings: the study's, resolved.
        networks: entries of the weights manifest, of the pretrained networks, by name.
        memory: mem_mb by rule.

    Raises:
        InputError: there is a problem; the table says which.
    """
    root, folder = Path(), Path("results", settings["study"])
    profile = cluster.profile_in_use(leftovers.ancestors())
    here = {"GPU": machine.check_gpu, "memory": partial(machine.check_memory, memory)}
    text = table(
        examine(
            {
                "Python": machine.check_python,
                "packages": partial(machine.check_packages, root / "requirements.txt", root / "requirements.in"),
                **(here if profile.executor == "local" else {"nodes": cluster.check_nodes}),
                "disk": partial(study.check_disk, settings, folder),
                "wafers": partial(study.check_data, settings["dataset"], folder),
                "weights": partial(study.check_weights, settings, networks, settings["weights"]),
                "artifacts": partial(study.check_artifacts, folder),
                "lock": partial(leftovers.check_lock, root),
                "leftovers": partial(leftovers.check_leftovers, folder),
                "cluster": partial(cluster.check_cluster, profile),
            }
        )
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    if any(line.startswith(PROBLEM) for line in text.splitlines()):
        raise InputError(f"{text.splitlines()[-1]}, named in {target}")
    return text
