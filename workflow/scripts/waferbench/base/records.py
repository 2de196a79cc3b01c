"""What is told of a job: in its artifacts what decided them, in its run record what varies from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TIME = "%Y-%m-%dT%H:%M:%S%z"


def provenance(
    rule: str,
    wildcards: Mapping[str, str],
    settings: Mapping[str, Any],
    code: str,
    inputs: Mapping[str, str | Sequence[str]],
    data: str = "",
) -> dict[str, Any]:
    """All that decides a job's artifacts, and nothing of the study's name or place: what two studies make alike is
    alike to the byte, and what was made from the same before need not be made again.

    Args:
        settings: the stage's slice of the settings, as plain values.
        code: digest of the code that the job runs.
        inputs: digests by the inputs' names, of one or several files each: of an artifact that of its payload.
        data: digest of data that no input names, or "".
    """
    told = {
        "rule": rule,
        "wildcards": dict(wildcards),
        "settings": dict(settings),
        "code": code,
        "inputs": {name: found if isinstance(found, str) else list(found) for name, found in inputs.items()},
    }
    if data and "data" not in told["inputs"]:
        told["data"] = data
    return told


def run_records(runs: Path) -> Iterator[tuple[Path, dict]]:
    """The records of finished jobs and their files, by name; unreadable ones are passed over."""
    for path in sorted(Path(runs).glob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield path, record
