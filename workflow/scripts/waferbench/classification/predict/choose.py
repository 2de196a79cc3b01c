"""Which of a study's classifiers is put to work.

Test scores choose the recipe (backbone and condition), validation scores the fold: of one recipe's classifiers, the
test sets differ, so that the best test score would only tell the easiest fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from sklearn.metrics import f1_score

from waferbench.base.errors import InputError
from waferbench.base.tables import GRID_CELL

RECIPE = ["backbone", "condition"]


def choose_cell(
    scores: pd.DataFrame, validation: Iterable[pd.DataFrame], protocols: Sequence[str], labels: Sequence[str]
) -> dict[str, str | int | float]:
    """The cell of the best recipe.

    Args:
        scores: of every cell and head (columns as by `waferbench.classification.scores.collect`).
        validation: tables by `prediction_table` of the cells' validation wafers; those of other cells are passed over.
        protocols: those that may be asked, in the study's order; the first with scores counts.
        labels: slugs of the classes of that protocol.

    Returns:
        protocol, seed, replicate, fold, backbone, condition; head (the better one) and macro_f1 (its mean over folds
        and seeds on test wafers); n_cells (that mean is over); n_recipes (backbone, condition and head; macro_f1 is the
        largest of so many means, and so a little too good); validation_macro_f1 (of the cell, softmax head).

    Raises:
        InputError: no scores of these protocols, or no validation table of the best recipe.
    """
    name = next((name for name in protocols if (scores["protocol"] == name).any()), None)
    if name is None:
        found = ", ".join(sorted(set(scores["protocol"]))) or "none"
        raise InputError(f"scores: protocols {found}, expected one of {', '.join(protocols)}; finish the study first")
    mine = scores[scores["protocol"] == name]
    means = mine.groupby([*RECIPE, "head"], sort=True)["macro_f1"].mean()
    backbone, condition, head = means.idxmax()
    recipe = {"protocol": name, "backbone": backbone, "condition": condition}
    cells = [
        {**table[list(GRID_CELL)].head(1).to_dict("records")[0], "validation_macro_f1": _macro_f1(table, labels)}
        for table in validation
        if len(table) and all(table[key].iloc[0] == value for key, value in recipe.items())
    ]
    if not cells:
        raise InputError(f"validation: no table of {backbone} with {condition} under {name}; finish the study first")
    best = max(cells, key=_rank)
    count = int((mine[[*RECIPE, "head"]] == [backbone, condition, head]).all(axis=1).sum())
    return {**best, "head": head, "macro_f1": float(means.max()), "n_cells": count, "n_recipes": len(means)}


def _rank(cell: Mapping[str, Any]) -> tuple[float, int, int, int]:
    """By validation score; among equal ones the first seed, replicate and fold."""
    return cell["validation_macro_f1"], -cell["seed"], -cell["replicate"], -cell["fold"]


def _macro_f1(table: pd.DataFrame, labels: Sequence[str]) -> float:
    return float(f1_score(table["y_true"], table["y_pred"], labels=list(labels), average="macro", zero_division=0))
