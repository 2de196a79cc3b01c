"""The version of the workbench, which artifacts and run records name as their maker. No result depends on it."""

from __future__ import annotations

from pathlib import Path

from waferbench.base.records import run_records

VERSION = "0.4.0"


def made_by_others(study: Path) -> list[str]:
    """What to say of a study that other versions have made and this one has not yet worked on."""
    found = {str(record.get("version", "0.1.0")) for _, record in run_records(study / "runs")}
    if not found or VERSION in found:
        return []
    return [
        f"{study}: made by waferbench {' and '.join(sorted(found))}, this is {VERSION}: what has changed between them "
        "is computed again; for a study of its own add --config study=NAME"
    ]
