"""What a study's numbers rest on: class counts, copies, mirror images, shared lots and contradictory labels.

Copies are equal maps; mirror images are equal up to the wafer's eight symmetries. Both and lots are counted again
between the test (or validation) split and the training split of each fold, since what crosses there flatters a
classifier. Simulated replicates share no lot with one another nor with their test set, which ``shared_lots`` counts.
"""

from __future__ import annotations

import pandas as pd

from waferbench.base.tables import RUN, TABLES
from waferbench.wafers.folds import RESERVE, SPARE, SPLITS

ALL = ("", "")  # class and label of rows about all classes together


def audit(wafers: pd.DataFrame, selected: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Checks on the data and on one assignment of folds, in long form.

    Args:
        wafers: the wafer table as ingested.
        selected: the wafers under study.
        folds: ``protocol, seed, replicate, wafer_id, fold, split`` of the selected wafers, of one run.

    Returns:
        ``protocol, seed, replicate, check, class, label, fold, split, value, detail``. `fold` is -1 and `split` ""
        where a row is about all of them, `class` and `label` "" where it is about all classes. `value` counts wafers,
        but for ``conflicts`` (groups of maps). Checks:

        - ``ingested``, ``selected``, ``split_count``: wafers of a class;
        - ``exact_duplicates``: wafers beyond the first of each set of equal maps;
        - ``symmetric_duplicates``: distinct maps beyond the first of each set of mirror images;
        - ``crossing_exact``, ``crossing_symmetric``: wafers of the test or validation split with an equal map, or only
          a mirror image, in training, whatever its class;
        - ``conflicts``: sets of equal or mirrored maps under several classes; ``conflict``: one such set, its size,
          and its wafers in `detail`;
        - ``known_lots``: wafers with a lot; ``crossing_lots``: wafers of the test or validation split with a lot that
          is also in training; ``shared_lots``, of simulated replicates alone: lots with wafers of several of the sets
          that were simulated for them, 0 where replicates are independent.

        Wafers withheld for the oracle are counted as a split ``reserve``, and what they share with training likewise;
        those beyond the most of a class are counted as ``spare`` alone.
    """
    rows = [*_counts("ingested", wafers), *_counts("selected", selected)]
    rows += _duplicates(selected)
    rows += _conflicts(selected)
    rows.append(_row("known_lots", ALL, -1, "", (selected["lot"] != "").sum()))
    replicated = selected[selected["drawn_for"] != ""]
    if len(replicated):
        rows.append(_row("shared_lots", ALL, -1, "", (replicated.groupby("lot")["drawn_for"].nunique() > 1).sum()))
    for fold, part in folds.groupby("fold", sort=True):
        rows += _crossings(int(fold), selected.merge(part[["wafer_id", "split"]], on="wafer_id", validate="1:1"))
    protocol, seed = (folds[name].iloc[0] for name in RUN[:2])
    table = pd.DataFrame(rows, columns=list(TABLES["audit"][len(RUN) :]))
    replicate = folds.groupby("fold")["replicate"].first()
    table = table.assign(protocol=protocol, seed=seed, replicate=table["fold"].map(replicate).fillna(0).astype("int64"))
    return table[list(TABLES["audit"])]


def _row(check: str, about: tuple[str, str], fold: int, split: str, value: int, detail: str = "") -> tuple:
    return (check, *about, fold, split, int(value), detail)


def _per_class(table: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    """All classes together, then each: ((class, label), its wafers)."""
    parts = table.groupby(["class", "label"], sort=True)
    return [(ALL, table), *((tuple(map(str, about)), part) for about, part in parts)]


def _counts(check: str, table: pd.DataFrame, fold: int = -1, split: str = "") -> list[tuple]:
    return [_row(check, about, fold, split, len(part)) for about, part in _per_class(table)]


def _duplicates(selected: pd.DataFrame) -> list[tuple]:
    rows = []
    for about, part in _per_class(selected):
        maps = part["sha256"].nunique()
        rows.append(_row("exact_duplicates", about, -1, "", len(part) - maps))
        rows.append(_row("symmetric_duplicates", about, -1, "", maps - part["canonical"].nunique()))
    return rows


def _conflicts(selected: pd.DataFrame) -> list[tuple]:
    several = selected.groupby("canonical")["class"].transform("nunique") > 1
    sets = list(selected[several].groupby("canonical", sort=True))
    rows = [_row("conflicts", ALL, -1, "", len(sets))]
    for _, part in sets:
        members = ", ".join(f"{name} ({label})" for name, label in zip(part["wafer_id"], part["label"], strict=True))
        rows.append(_row("conflict", ALL, -1, "", len(part), members))
    return rows


def _crossings(fold: int, table: pd.DataFrame) -> list[tuple]:
    """Counts of one fold's splits, and what its test and validation wafers share with training."""
    train = table[table["split"] == "train"]
    exact = table["sha256"].isin(set(train["sha256"]))
    symmetric = table["canonical"].isin(set(train["canonical"])) & ~exact
    lots = table["lot"].isin(set(train["lot"]) - {""})
    rows = []
    reserve = [RESERVE] if (table["split"] == RESERVE).any() else []
    spare = [SPARE] if (table["split"] == SPARE).any() else []
    for split in (*SPLITS, *reserve, *spare):
        rows += _counts("split_count", table[table["split"] == split], fold, split)
    for split in (*SPLITS[1:], *reserve):
        for check, crosses in (
            ("crossing_exact", exact),
            ("crossing_symmetric", symmetric),
            ("crossing_lots", lots),
        ):
            marked = table.assign(crosses=crosses)[table["split"] == split]
            rows += [_row(check, about, fold, split, part["crosses"].sum()) for about, part in _per_class(marked)]
    return rows
