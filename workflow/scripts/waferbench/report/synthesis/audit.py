"""What the audit of the data found: copies, mirror images and lots on both sides of a split."""

from __future__ import annotations

import pandas as pd

from waferbench.report.kit.tables import BLANK, Cell, Table, name, number
from waferbench.report.synthesis.study import Study

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
SPLITS = {"train": "training", "val": "validation", "test": "test", "reserve": "reserve", "spare": "spare", "": "all"}
MOST_ROWS = 200


def audit(study: Study) -> Table | None:
    """The checks about all classes together, one column a fold."""
    t = study.audit
    if not len(t):
        return None
    t = t.assign(fold=t["fold"].fillna(-1).astype(int), split=t["split"].fillna(""))
    t = t[t["label"].fillna("").isin(["", "all"])].assign(detail=t["detail"].fillna("").astype(str))
    folds = sorted(f for f in t["fold"].unique() if f >= 0)
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
    return Table(["What", "Split", "Whole study", *(f"{study.unit.title()} {f}" for f in folds)], rows[:MOST_ROWS])


def _count(values: pd.Series, fold: int) -> Cell:
    return number(values[fold], ",.6g") if fold in values.index else BLANK


def audit_classes(study: Study) -> Table | None:
    """Per class: wafers under study, copies, mirror images."""
    t = study.audit
    if not len(t):
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
