"""The tables about samples: quality and the shape filter."""

from __future__ import annotations

import pandas as pd

from waferbench.base.tables import ALL, KID
from waferbench.report.kit.tables import BLANK, Cell, Table, name, number
from waferbench.report.kit.words import known, reach
from waferbench.report.synthesis.study import Study

ENDS = (("", ""), ("", "_matched"), ("floor_", ""))  # of the names of a metric: of all samples, of as many as the floor
REASONS = {
    "iou": "outline is no disc",
    "off_disc": "dies outside the disc",
    "radius": "wrong size",
    "offset": "off centre",
    "cnn": "network: not a wafer",
}
SHARES = {name: name.capitalize() for name in ("precision", "recall", "density", "coverage", "diversity")}
MEMORY = {"copy_rate": "Copies", "nearer_train": "Nearer to train"}


def quality(study: Study, reference: str) -> Table | None:
    """Per source and class, mean over folds: distance raw, kept and floor, KID, shares, copies."""
    t = study.quality
    t = t[t["reference"] == reference] if len(t) else t
    if not len(t):
        return None
    distance = "fid" if "fid" in set(t["metric"]) else "frechet"
    means = t.groupby(["source", "label", "stage", "metric"])[["value", "low", "high", "n"]].mean()
    title = "FID" if distance == "fid" else "Fréchet"
    extra = {m: text for m, text in MEMORY.items() if m in set(t["metric"])}
    rows = []
    for source in study.sources:
        for label in [ALL, *study.names]:
            get = _getter(means, source, label)
            if get("kept", distance) is None and get("raw", distance) is None:
                continue
            n = get("kept", distance)
            row = [
                _group(study, source, label),
                number(n["n"] if n is not None else None, ".0f"),
                _plain(get("raw", distance), ".1f"),
                _plain(get("kept", distance), ".1f"),
                _plain(get("kept", f"{distance}_matched"), ".1f"),
                _floor(get("kept", f"floor_{distance}"), n),
                _kid(get("raw", KID), False),
                _kid(get("kept", KID)),
                _kid(get("kept", f"floor_{KID}"), False),
            ]
            row += [_share(*(get("kept", f"{before}{metric}{after}") for before, after in ENDS)) for metric in SHARES]
            row += [_share(get("kept", metric), None, get("kept", f"floor_{metric}")) for metric in extra]
            rows.append(row)
    head = ["Samples", "n", "raw", "kept", "kept, floor’s n", "floor", "raw", "kept", "floor"]
    groups = [("", 2), (f"{title} distance", 4), ("KID × 1000", 3), ("Kept samples", len(SHARES) + len(extra))]
    return Table([*head, *SHARES.values(), *extra.values()], rows, groups) if rows else None


def _share(value: pd.Series | None, matched: pd.Series | None, floor: pd.Series | None) -> Cell:
    """A share, and below it that of real wafers: of as many as there are samples, or beside as many samples."""
    if value is None:
        return BLANK
    note = f"real {floor['value']:.2f}" if floor is not None and known(floor["value"]) else ""
    if note and matched is not None and known(matched["value"]) and round(floor["n"]) < round(value["n"]):
        note = f"of {floor['n']:.0f}: {matched['value']:.2f}, {note}"
    return number(value["value"], ".2f", note)


def _floor(floor: pd.Series | None, kept: pd.Series | None) -> Cell:
    """The floor's distance, with its own number where that is another one than the samples'."""
    if floor is None:
        return BLANK
    other = kept is not None and round(floor["n"]) != round(kept["n"])
    return number(floor["value"], ".1f", f"n {floor['n']:.0f}" if other else "", "muted")


def _group(study: Study, source: str, label: str) -> Cell:
    return name(f"{source} · {'all classes' if label == ALL else study.names[label]}")


def _getter(means: pd.DataFrame, source: str, label: str):
    def get(stage: str, metric: str) -> pd.Series | None:
        key = (source, label, stage, metric)
        return means.loc[key] if key in means.index else None

    return get


def _plain(row: pd.Series | None, form: str) -> Cell:
    return number(row["value"], form) if row is not None else BLANK


def _kid(row: pd.Series | None, interval: bool = True) -> Cell:
    if row is None or not known(row["value"]):
        return BLANK
    return number(row["value"], ".1f", reach(row["low"], row["high"], ".1f") if interval else "")


def networks(study: Study) -> list[str]:
    """The feature networks of the quality table."""
    return sorted(set(study.quality["network"].dropna().astype(str)))


def shape_reasons(study: Study) -> Table | None:
    """Per source and class: drawn, fit the shape, kept, in the pool, and why the rest fails."""
    t = study.shape_filter
    if not len(t):
        return None
    t = t.assign(reason=t["reason"].fillna("").astype(str))
    found = [r for r in REASONS if r in set(t["reason"])]
    found += sorted(set(t["reason"]) - set(REASONS) - {""})
    rows = []
    for source in study.sources:
        for label in [ALL, *study.names]:
            mine = t[(t["source"] == source) & ((t["label"] == label) | (label == ALL))]
            if not len(mine):
                continue
            counts = mine["reason"].value_counts()
            share = float(mine["passes"].astype(bool).mean())
            rows.append(
                [
                    _group(study, source, label),
                    number(len(mine), ",.0f"),
                    Cell(f"{share:.0%}", share, heat=share),
                    number(int(mine["kept"].astype(bool).sum()), ",.0f"),
                    _pool(study, mine, label),
                    *(number(int(counts.get(r, 0)), ",.0f", tone="" if counts.get(r, 0) else "muted") for r in found),
                ]
            )
    head = ["Samples", "Drawn", "Fit", "Kept", "In the pool", *(REASONS.get(r, r) for r in found)]
    groups = [("", 5), ("Chief reason of those that do not fit", len(found))] if found else []
    return Table(head, rows, groups, kind="heat")


def _pool(study: Study, samples: pd.DataFrame, label: str) -> Cell:
    """The size of a pool over all folds, marked where one of them met the cap on raw samples first."""
    pools = samples["in_pool"].fillna(False).astype(bool).groupby(samples["fold"]).sum()
    short = label != ALL and (pools < study.settings.pool.n_accepted).any()
    return number(int(pools.sum()), ",.0f", "cap reached" if short else "")


def filter_agreement(study: Study) -> Table | None:
    """Per source: what share of its samples the geometric filter and the network, each alone, accept."""
    t = study.shape_filter.dropna(subset=["passes_geometric", "passes_cnn"])
    if not len(t):
        return None
    rows = []
    for source in study.sources:
        mine = t[t["source"] == source]
        a, b = mine["passes_geometric"].astype(bool), mine["passes_cnn"].astype(bool)
        shares = [(a & b), (a & ~b), (~a & b), (~a & ~b)]
        rows.append([name(source), *(number(100 * part.mean(), ".1f") for part in shares)])
    head = ["Samples of", "both accept, %", "geometric alone", "network alone", "neither"]
    return Table(head, rows) if rows else None


def corruptions(study: Study) -> Table | None:
    """Share of corrupted unseen wafers that the filter rejects, by kind, mean over scopes."""
    rates = [facts["rejection_rate"] for facts in study.thresholds if isinstance(facts.get("rejection_rate"), dict)]
    kinds = [kind for kind in (rates[0] if rates else {}) if kind != "all"]
    if not kinds:
        return None
    values = [number(100 * sum(rate[kind] for rate in rates) / len(rates), ".1f") for kind in kinds]
    return Table(["Rejected", *(kind.replace("_", " ") for kind in kinds)], [[name("%"), *values]])


def real_rates(study: Study) -> Table | None:
    """What the filter does to real wafers, seen and unseen, and to corrupted ones."""
    rows = []
    for facts in study.thresholds:
        caught = facts.get("rejection_rate") or {}
        caught = caught.get("all") if isinstance(caught, dict) else caught
        rates = (facts.get("pass_rate_train"), facts.get("pass_rate_val"), caught)
        rows.append([name(facts["scope"]), *(number(v, ".1%") for v in rates)])
    head = ["Wafers of", "Training wafers that fit", "Unseen real wafers that fit", "Corrupted wafers caught"]
    return Table(head, rows) if rows else None
