"""The tables behind the numbers: audit of the data, cost of the stages, provenance."""

from __future__ import annotations

import importlib.metadata
import json
import platform

import pandas as pd

from waferbench.report.synthesis.study import Study
from waferbench.report.synthesis.tables import BLANK, Cell, Table, name, number

PACKAGES = ("numpy", "pandas", "scikit-learn", "scipy", "torch", "timm", "diffusers", "h5py", "pyarrow", "snakemake")
CHECKS = {
    "ingested": "Wafers ingested",
    "selected": "Wafers under study",
    "split_count": "Wafers",
    "exact_duplicates": "Exact copies of another wafer",
    "symmetric_duplicates": "Mirror images or rotations of another wafer",
    "crossing_exact": "Wafers with an exact copy in training",
    "crossing_symmetric": "Wafers with only a mirror image in training",
    "conflicts": "Sets of equal maps under several classes",
    "conflict": "One such set",
    "known_lots": "Wafers with a known lot",
    "crossing_lots": "Wafers whose lot is also in training",
}
SPLITS = {"train": "training", "val": "validation", "test": "test", "": "all"}
MOST_ROWS = 200


def audit(study: Study) -> Table | None:
    """The checks about all classes together, one column a fold."""
    t = study.audit
    if not len(t):
        return None
    t = t.assign(fold=t["fold"].fillna(-1).astype(int), split=t["split"].fillna("") if "split" in t else "")
    t = t[t["label"].fillna("").isin(["", "all"])] if "label" in t else t
    folds = sorted(f for f in t["fold"].unique() if f >= 0)
    t = t.assign(detail=t["detail"].fillna("").astype(str) if "detail" in t else "")
    order = {check: i for i, check in enumerate(CHECKS)}
    rows = []
    keys = t.groupby(["check", "split", "detail"], sort=False)
    for (check, split, detail), part in sorted(keys, key=lambda item: order.get(item[0][0], len(order))):
        by_fold = part.groupby("fold")["value"].sum()
        what = CHECKS.get(check, str(check).replace("_", " "))
        rows.append(
            [
                name(what, str(detail)[:300]),
                Cell(SPLITS.get(split, split)),
                _count(by_fold, -1),
                *(_count(by_fold, fold) for fold in folds),
            ]
        )
    return Table(["What", "Split", "Whole study", *(f"Fold {f}" for f in folds)], rows[:MOST_ROWS])


def _count(values: pd.Series, fold: int) -> Cell:
    return number(values[fold], ",.6g") if fold in values.index else BLANK


def audit_classes(study: Study) -> Table | None:
    """Per class: wafers under study, copies, mirror images."""
    t = study.audit
    if not len(t) or not {"check", "value", "label", "fold"} <= set(t.columns):
        return None
    t = t[(t["fold"] == -1) & t["label"].isin(list(study.names))]
    checks = [c for c in CHECKS if c in set(t["check"])]
    wide = t.pivot_table(index="label", columns="check", values="value", aggfunc="sum")
    rows = [
        [name(study.names[label]), *(number(wide.loc[label].get(c), ",.0f") for c in checks)]
        for label in study.names
        if label in wide.index
    ]
    return Table(["Class", *(CHECKS[c] for c in checks)], rows) if rows else None


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds, 1)
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def cost(study: Study) -> Table | None:
    """Time and memory per stage, the dearest first, and their sum."""
    if not study.runs:
        return None
    t = pd.DataFrame(study.runs)
    for column in ("seconds", "cpu_seconds", "peak_mb", "gpu_peak_mb"):
        t[column] = pd.to_numeric(t[column], errors="coerce").fillna(0.0) if column in t else 0.0
    t["device"] = t["device"].fillna("cpu") if "device" in t else "cpu"
    t["fetched"] = t["fetched"].notna() if "fetched" in t else False
    total = max(t["seconds"].sum(), 1e-9)
    rows = []
    for rule, part in sorted(t.groupby("rule"), key=lambda item: -item[1]["seconds"].sum()):
        seconds, fetched = part["seconds"].sum(), part["fetched"].sum()
        rows.append(
            [
                name(str(rule).replace("_", " "), f"{fetched} from the cache, at what they cost" if fetched else ""),
                number(len(part), ",.0f"),
                Cell(duration(seconds), seconds, f"{seconds / total:.0%}", heat=seconds / total),
                Cell(duration(part["seconds"].max()), part["seconds"].max()),
                Cell(duration(part["cpu_seconds"].sum()), part["cpu_seconds"].sum()),
                number(part["peak_mb"].max(), ",.0f"),
                number(part["gpu_peak_mb"].max() or None, ",.0f"),
                Cell(", ".join(sorted(set(part["device"])))),
            ]
        )
    totals = [
        name("All stages"),
        number(len(t), ",.0f"),
        Cell(duration(total), total),
        Cell(duration(t["seconds"].max()), t["seconds"].max()),
        Cell(duration(t["cpu_seconds"].sum()), t["cpu_seconds"].sum()),
        number(t["peak_mb"].max(), ",.0f"),
        number(t["gpu_peak_mb"].max() or None, ",.0f"),
        Cell(""),
    ]
    head = ["Stage", "Jobs", "Time", "Longest job", "CPU time", "Peak MB", "GPU peak MB", "Device"]
    return Table(head, rows, kind="bars", totals=[totals])


def versions() -> Table:
    """The packages at hand when the report was made."""
    rows = [[name("python"), Cell(platform.python_version())]]
    for package in PACKAGES:
        try:
            rows.append([name(package), Cell(importlib.metadata.version(package))])
        except importlib.metadata.PackageNotFoundError:
            continue
    return Table(["Package", "Version"], rows)


def origins(study: Study) -> Table | None:
    """Which rule and code made each input of the report."""
    rows = [
        [name(what), Cell(str(p.get("rule", "–"))), Cell(str(p.get("code", "–"))[:12], title=str(p.get("code", "")))]
        for what, p in study.origins.items()
        if p
    ]
    return Table(["Artifact", "Made by", "Code digest"], rows) if rows else None


def settings_text(study: Study) -> str:
    """The study's whole configuration, as JSON."""
    return json.dumps(study.settings, indent=1, sort_keys=True, ensure_ascii=False)
