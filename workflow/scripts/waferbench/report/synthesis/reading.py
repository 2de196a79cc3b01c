"""The files of a study, read and brought to the form that the report knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from waferbench.base.artifacts import read_json, read_provenance, read_table
from waferbench.engine.running import run_records
from waferbench.report.synthesis.study import COLUMNS, Study
from waferbench.wafers.store import open_store

SHORT = {"reference": "against", "mean_difference": "difference", "ci_low": "low", "ci_high": "high"}


def read_study(inputs: Mapping[str, Any], settings: Mapping[str, Any], folder: str | Path | None = None) -> Study:
    """Read a study.

    Args:
        inputs: name -> path or list of paths: the tables of `COLUMNS` (Parquet), ``store``, ``samples``,
            ``histories``, ``priors``, ``explanations``, ``thresholds``, ``facts``, ``published``. What is absent or
            empty counts as an empty table.
        settings: see `Study`.
        folder: ``results/<study>``, for the run records in ``runs/``, if there are any.
    """
    files = {name: _paths(value) for name, value in inputs.items()}
    tables = {name: tidy(name, [read_table(path) for path in files.get(name, [])]) for name in COLUMNS}
    for name, column in {"comparisons": "against", "decomposition": "reference"}.items():
        tables[name] = with_wafer_intervals(tables[name], tables["intervals"], column)
    samples = {(_source(path), path.stem): path for path in files.get("samples", [])}
    scope = next(iter(sorted(map(_scope, samples.values()))), "pooled")
    published = files.get("published", [])
    pictures = ("samples", "priors")
    readable = [(n, p[0]) for n, p in files.items() if p and p[0].suffix in {".parquet", ".h5"} and n not in pictures]
    return Study(
        settings=settings,
        tables=tables,
        published=yaml.safe_load(published[0].read_text()) if published else {},
        store=open_store(files["store"][0]) if files.get("store") else None,
        samples=samples,
        sample_fold=int(scope.removeprefix("fold")) if scope.startswith("fold") else -1,
        histories={(path.parent.name, path.stem): read_table(path) for path in files.get("histories", [])},
        priors={path.parent.name: path for path in files.get("priors", [])},
        explanations={path.stem: path for path in files.get("explanations", [])},
        thresholds=[
            {"protocol": _protocol(path), "scope": _scope(path), **read_json(path)}
            for path in files.get("thresholds", [])
        ],
        trainings=[
            (_protocol(path), _scope(path), path.parent.name, read_json(path)) for path in files.get("facts", [])
        ],
        runs=read_runs(folder),
        origins={name: read_provenance(path) for name, path in readable},
    )


def with_wafer_intervals(differences: pd.DataFrame, intervals: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Differences with ``wafer_low`` and ``wafer_high``: the interval over test wafers alone, where there is one.

    Args:
        reference: the column of ``differences`` that names what a condition is compared with.
    """
    if not len(differences):
        return differences.assign(wafer_low=np.nan, wafer_high=np.nan)
    keys = [k for k in ("protocol", "head", "backbone", "condition", "reference") if k in intervals]
    found = intervals[[*keys, "low", "high"]].rename(columns={"low": "wafer_low", "high": "wafer_high"})
    found = found.rename(columns={"reference": reference}).astype({"wafer_low": float, "wafer_high": float})
    return differences.merge(found, how="left", on=[reference if k == "reference" else k for k in keys])


def tidy(name: str, parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table of its parts with at least the columns of `COLUMNS`, absent ones empty."""
    parts = [part for part in parts if len(part)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    table = table.rename(columns=SHORT) if name == "comparisons" else table
    for column in COLUMNS[name]:
        if column not in table:
            table[column] = pd.Series([None] * len(table), dtype=object)
    if name == "comparisons" and "metric" in table:
        table = table[table["metric"] == "macro_f1"].reset_index(drop=True)
    return table


def read_runs(folder: str | Path | None) -> list[dict]:
    """The run records of a study, the last of each job; unreadable ones are left out."""
    records = run_records(Path(folder, "runs")) if folder else ()
    return [record for _, record in records if record.get("rule", "make_report") != "make_report"]


def _paths(value: Any) -> list[Path]:
    if value is None:
        return []
    return [Path(value)] if isinstance(value, (str, Path)) else [Path(path) for path in value]


def _source(path: Path) -> str:
    """Of ``<source>/raw/<label>.h5``."""
    return path.parents[1].name


def _scope(path: Path) -> str:
    return next((part for part in reversed(path.parts) if re.fullmatch(r"fold\d+|pooled", part)), "pooled")


def _protocol(path: Path) -> str:
    """Of ``<protocol>/seed<seed>/<scope>/...``; empty where the path does not say."""
    parts = path.parts
    return next((parts[i - 1] for i in range(1, len(parts)) if re.fullmatch(r"seed\d+", parts[i])), "")
