"""The version of the workbench, which artifacts and run records name as their maker. No result depends on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from waferbench.base.records import run_records

VERSION = "0.2.0"


def made_by_others(study: Path) -> list[str]:
    """What to say of a study that another version has begun; nothing of one of this version, or a new one."""
    found = {str(record.get("version", "0.1")) for _, record in run_records(study / "runs")} - {VERSION}
    if not found:
        return []
    return [
        f"{study}: made by waferbench {_listed(found)}, this is {VERSION}: what has changed between them is computed "
        "again; for a study of its own add --config study=NAME"
    ]


def _listed(versions: Iterable[str]) -> str:
    return " and ".join(sorted(versions))
