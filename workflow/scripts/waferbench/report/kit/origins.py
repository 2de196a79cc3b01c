"""What a page was made from and what that cost: run records, packages, artifacts, settings."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from waferbench.config.section import Section
from waferbench.report.kit.tables import Cell, Table, name, number
from waferbench.report.kit.words import duration

PACKAGES = ("numpy", "pandas", "scikit-learn", "scipy", "torch", "timm", "diffusers", "h5py", "pyarrow", "snakemake")


def cost(runs: Sequence[Mapping[str, Any]]) -> Table | None:
    """Time and memory per stage, the dearest first, and their sum; None without a run record."""
    if not runs:
        return None
    t = pd.DataFrame(runs)
    for column in ("seconds", "cpu_seconds", "peak_mb", "gpu_peak_mb"):
        t[column] = pd.to_numeric(t[column], errors="coerce").fillna(0.0) if column in t else 0.0
    t["device"] = t["device"].fillna("cpu") if "device" in t else "cpu"
    t["fetched"] = t["fetched"].notna() if "fetched" in t else False
    t["job"] = t["job"].fillna(pd.Series(t.index)) if "job" in t else t.index  # one of several parts tells it
    total = max(t["seconds"].sum(), 1e-9)
    rows = []
    for rule, part in sorted(t.groupby("rule"), key=lambda item: -item[1]["seconds"].sum()):
        seconds, fetched = part["seconds"].sum(), part["fetched"].sum()
        rows.append(
            [
                name(str(rule).replace("_", " "), f"{fetched} computed before, at what they cost" if fetched else ""),
                number(part["job"].nunique(), ",.0f"),
                Cell(duration(seconds), seconds, f"{seconds / total:.0%}", heat=seconds / total),
                *_usage(part),
                Cell(", ".join(sorted(set(part["device"])))),
            ]
        )
    totals = [
        name("All stages"),
        number(t["job"].nunique(), ",.0f"),
        Cell(duration(total), total),
        *_usage(t),
        Cell(""),
    ]
    head = ["Stage", "Jobs", "Time", "Longest job", "CPU time", "Peak MB", "GPU peak MB", "Device"]
    return Table(head, rows, kind="bars", totals=[totals])


def _usage(runs: pd.DataFrame) -> list[Cell]:
    """Longest job, processor time, peak of memory, and of a GPU's."""
    longest = runs.groupby("job")["seconds"].sum().max()
    return [
        Cell(duration(longest), longest),
        Cell(duration(runs["cpu_seconds"].sum()), runs["cpu_seconds"].sum()),
        number(runs["peak_mb"].max(), ",.0f"),
        number(runs["gpu_peak_mb"].max() or None, ",.0f"),
    ]


def versions() -> Table:
    """The packages at hand when the page was made."""
    rows = [[name("python"), Cell(platform.python_version())]]
    for package in PACKAGES:
        try:
            rows.append([name(package), Cell(importlib.metadata.version(package))])
        except importlib.metadata.PackageNotFoundError:
            continue
    return Table(["Package", "Version"], rows)


def origins(provenance: Mapping[str, Mapping[str, Any]]) -> Table | None:
    """Which rule and code made each input of a page; None where nothing says so.

    Args:
        provenance: of each input's artifact, by the input's name.
    """
    rows = [
        [name(what), Cell(str(p.get("rule", "–"))), Cell(str(p.get("code", "–"))[:12], title=str(p.get("code", "")))]
        for what, p in provenance.items()
        if p
    ]
    return Table(["Artifact", "Made by", "Code digest"], rows) if rows else None


def settings_text(settings: Section) -> str:
    """All settings that a page was made with, as JSON."""
    return json.dumps(settings.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
