"""What is told of a job: in its artifacts what decided them, in its run record what varies from run to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from waferbench.base.files import data_digest, digest

TIME = "%Y-%m-%dT%H:%M:%S%z"


def provenance(
    rule: str,
    wildcards: Mapping[str, str],
    settings: Mapping[str, Any],
    code: str,
    inputs: Mapping[str, Any],
    data: str = "",
) -> dict[str, Any]:
    """All that decides a job's artifacts, and nothing of the study's name or place: what two studies make alike is
    alike to the byte.

    Args:
        settings: the stage's slice of the settings, as plain values.
        code: digest of the code that the job runs.
        inputs: files by name, one or several each; their digests are taken.
        data: path of data that no input names; their content is told, their place is not.
    """
    told = {
        "rule": rule,
        "wildcards": dict(wildcards),
        "settings": dict(settings),
        "code": code,
        "inputs": {name: _digests(files) for name, files in inputs.items()},
    }
    if data and "data" not in told["inputs"]:
        told["data"] = data_digest(data)
    return told


def _digests(files: Any) -> str | list[str]:
    return digest(files) if isinstance(files, (str, Path)) else [digest(file) for file in files]


def run_records(runs: Path) -> Iterator[tuple[Path, dict]]:
    """The records of finished jobs and their files, by name; unreadable ones are passed over."""
    for path in sorted(Path(runs).glob("*.json")):
        try:
            record = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield path, record
