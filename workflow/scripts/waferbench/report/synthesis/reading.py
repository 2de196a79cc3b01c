"""The files of a study, read and brought to the form that the report knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from waferbench.base.artifacts import RERUN, read_json, read_provenance, read_table
from waferbench.base.errors import InputError
from waferbench.base.records import run_records
from waferbench.base.scope import Scope
from waferbench.config.synthesis.stages import MakeReport
from waferbench.report.synthesis.study import READ, Study
from waferbench.wafers.store import open_store

PARTS = ("samples", "histories", "priors", "explanations", "thresholds", "facts")  # one of several, each
SHORT = {"reference": "against", "mean_difference": "difference", "ci_low": "low", "ci_high": "high"}


def read_study(inputs: Mapping[str, Any], settings: MakeReport, folder: str | Path | None = None) -> Study:
    """Read a study.

    Args:
        inputs: name -> path or list of paths: the tables of `READ` (Parquet), ``store``, ``samples``,
            ``histories``, ``priors``, ``explanations``, ``thresholds``, ``facts``, ``published``. What is absent or
            empty counts as an empty table.
        settings: see `Study`.
        folder: ``results/<study>``, for the run records in ``runs/``, if there are any.
    """
    files = {name: _paths(value) for name, value in inputs.items()}
    tables = {name: tidy(name, [read_table(path) for path in files.get(name, [])]) for name in READ}
    for name, column in {"comparisons": "against", "decomposition": "reference"}.items():
        tables[name] = with_wafer_intervals(tables[name], tables["intervals"], column)
    made = {path: _made_for(path) for name in PARTS for path in files.get(name, [])}
    samples, published = files.get("samples", []), files.get("published", [])
    pictures = ("samples", "priors")
    readable = [(n, p[0]) for n, p in files.items() if p and p[0].suffix in {".parquet", ".h5"} and n not in pictures]
    return Study(
        settings=settings,
        tables=tables,
        published=yaml.safe_load(published[0].read_text()) if published else {},
        store=open_store(files["store"][0]) if files.get("store") else None,
        samples={(made[path]["source"], path.stem): path for path in samples},
        sample_scope=Scope.parse(min((made[path]["scope"] for path in samples), default="pooled")),
        histories={(made[path]["source"], path.stem): read_table(path) for path in files.get("histories", [])},
        priors={made[path]["source"]: path for path in files.get("priors", [])},
        bases={
            made[path]["source"]: told
            for path in files.get("priors", [])
            if (told := read_provenance(path).get("pretrained_on"))
        },
        explanations={made[path]["backbone"]: path for path in files.get("explanations", [])},
        thresholds=[
            {"protocol": made[path]["protocol"], "scope": Scope.parse(made[path]["scope"]), **read_json(path)}
            for path in files.get("thresholds", [])
        ],
        trainings=[
            (made[path]["protocol"], Scope.parse(made[path]["scope"]), made[path]["source"], read_json(path))
            for path in files.get("facts", [])
        ],
        runs=read_runs(folder),
        origins={name: read_provenance(path) for name, path in readable},
    )


def _made_for(path: Path) -> Mapping[str, str]:
    """Which of several an artifact is: its protocol, scope, source, ..., the wildcards of the rule that made it."""
    told = read_provenance(path).get("wildcards")
    if not isinstance(told, dict):
        raise InputError(f"{path}: its provenance does not say which of several it is; {RERUN}")
    return told


def with_wafer_intervals(differences: pd.DataFrame, intervals: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Differences with ``wafer_low`` and ``wafer_high``: the interval over test wafers alone, where there is one.

    Args:
        reference: the column of ``differences`` that names what a condition is compared with.
    """
    if not len(differences) or not len(intervals):
        return differences.assign(wafer_low=np.nan, wafer_high=np.nan)
    keys = [k for k in ("protocol", "head", "backbone", "condition", "reference") if intervals[k].notna().any()]
    found = intervals[[*keys, "low", "high"]].rename(columns={"low": "wafer_low", "high": "wafer_high"})
    found = found.rename(columns={"reference": reference}).astype({"wafer_low": float, "wafer_high": float})
    return differences.merge(found, how="left", on=[reference if k == "reference" else k for k in keys])


def tidy(name: str, parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One table of its parts with at least the columns of `READ`, absent ones empty; comparisons by `SHORT` names."""
    parts = [part for part in parts if len(part)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    for column in READ[name]:
        if column not in table:
            table[column] = pd.Series([None] * len(table), dtype=object)
    if name != "comparisons":
        return table
    of_macro_f1 = table["metric"].isna() | (table["metric"] == "macro_f1")
    return table[of_macro_f1].rename(columns=SHORT).reset_index(drop=True)


def read_runs(folder: str | Path | None) -> list[dict]:
    """The run records of a study, the last of each job; unreadable ones are left out."""
    records = run_records(Path(folder, "runs")) if folder else ()
    return [record for _, record in records if record.get("rule", "make_report") != "make_report"]


def _paths(value: Any) -> list[Path]:
    if value is None:
        return []
    return [Path(value)] if isinstance(value, (str, Path)) else [Path(path) for path in value]
