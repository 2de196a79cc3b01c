"""Which of a study's classifiers is put to work.

Validation wafers choose all of it: the recipe (backbone, condition and head) by its mean over cells, then the cell of
that recipe. Recipes that validation does not tell apart are a tie, which the simplest of them wins. Test wafers choose
nothing, so that their score of the choice is no better than it should be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.base.tables import RUN
from waferbench.classification.scores import macro_f1
from waferbench.statistics.ties import ROUNDING, tied

RECIPE = ["backbone", "condition", "head"]
TRAINED = [*RUN[1:], "fold"]  # what tells the cells of a recipe apart
HEADS = ("softmax", "ecoc_svm")  # simplest first
RESAMPLES = 500


def choose_cell(
    scores: pd.DataFrame,
    validation: Iterable[pd.DataFrame],
    protocols: Sequence[str],
    labels: Sequence[str],
    backbones: Sequence[str],
    conditions: Sequence[str],
    parameters: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The cell that predicts.

    A recipe ties with the best one where the mean of their paired differences in validation macro-F1 is at most one
    standard error over cells; with a single cell, at most the deviation of that difference over resampled validation
    wafers. Of a tie the simplest wins: real wafers before repeated before synthetic ones, softmax before the ECOC-SVM,
    the smaller network, and then the study's order.

    Args:
        scores: of test wafers, every cell and head (columns as by `waferbench.classification.scores.collect`).
        validation: tables by `prediction_table` of the cells' validation wafers, of every head that may be chosen;
            those of other protocols and conditions are passed over.
        protocols: those that may be asked, in the study's order; the first with scores counts.
        labels: slugs of the classes of that protocol.
        backbones: in the study's order. conditions: those that may be chosen, in that order.
        parameters: of each backbone, where known.

    Returns:
        protocol, seed, replicate, fold, backbone, condition, head; macro_f1 (of the recipe, its mean over cells on test
        wafers); n_cells (of that mean); validation_macro_f1 (of this cell); recipe_validation_macro_f1 (mean over
        cells); n_recipes (that were compared); tied (backbone, condition, head of each recipe of the tie, the chosen
        one first; only that one where there is no tie).

    Raises:
        InputError: no scores of these protocols, or no recipe with a validation table of every cell.
    """
    name = next((name for name in protocols if (scores["protocol"] == name).any()), None)
    if name is None:
        found = ", ".join(sorted(set(scores["protocol"]))) or "none"
        raise InputError(f"scores: protocols {found}, expected one of {', '.join(protocols)}; finish the study first")
    asked = (table for table in validation if len(table) and table["protocol"].iloc[0] == name)
    tables = [table for table in asked if table["condition"].iloc[0] in conditions]
    by_recipe: dict[tuple, dict[tuple, pd.DataFrame]] = {}
    for table in tables:
        first = table.iloc[0]
        by_recipe.setdefault(tuple(first[RECIPE]), {})[tuple(first[TRAINED])] = table
    mine = scores[scores["protocol"] == name]
    cells = sorted({tuple(row) for row in mine[TRAINED].itertuples(index=False)})
    whole = {recipe: found for recipe, found in by_recipe.items() if set(found) >= set(cells)}
    if not whole:
        raise InputError(
            f"validation: no backbone and condition has a table of each of the {len(cells)} cells of {name}; finish "
            "the study first"
        )
    values = {recipe: np.array([_macro_f1(found[cell], labels) for cell in cells]) for recipe, found in whole.items()}
    best = max(values, key=lambda recipe: (values[recipe].mean(), recipe))
    tied = [
        recipe
        for recipe, found in whole.items()
        if recipe == best or _ties(whole[best], found, values[best], values[recipe], labels)
    ]

    def plainness(recipe: tuple) -> tuple:
        backbone, condition, head = recipe
        size = (parameters or {}).get(backbone, 0)
        added = max(_kind(table) for table in whole[recipe].values())
        return added, HEADS.index(head), size, backbones.index(backbone), conditions.index(condition)

    tied.sort(key=plainness)
    chosen = tied[0]
    at = int(values[chosen].argmax())  # the first of equals
    on_test = mine[(mine[RECIPE] == list(chosen)).all(axis=1)]["macro_f1"]
    return {
        "protocol": name,
        **{key: int(value) for key, value in zip(TRAINED, cells[at], strict=True)},
        **dict(zip(RECIPE, chosen, strict=True)),
        "macro_f1": float(on_test.mean()),
        "n_cells": len(on_test),
        "validation_macro_f1": float(values[chosen][at]),
        "recipe_validation_macro_f1": float(values[chosen].mean()),
        "n_recipes": len(values),
        "tied": [dict(zip(RECIPE, recipe, strict=True)) for recipe in tied],
    }


def _kind(table: pd.DataFrame) -> int:
    """0: trained on real wafers, 1: on repeated ones, 2: on synthetic ones too."""
    counts = table.iloc[0]
    return 2 if counts["n_train_synthetic"] else int(counts["n_train_repeated"] > 0)


def _ties(
    best: Mapping[tuple, pd.DataFrame],
    other: Mapping[tuple, pd.DataFrame],
    a: np.ndarray,
    b: np.ndarray,
    labels: Sequence[str],
) -> bool:
    """Whether the scores of two recipes, a and b of the same cells, are within one standard error of one another."""
    if len(a) > 1:
        return tied(a - b)
    (cell,) = best
    return a[0] - b[0] <= _deviation(best[cell], other[cell], labels) + ROUNDING


def _deviation(one: pd.DataFrame, two: pd.DataFrame, labels: Sequence[str]) -> float:
    """Standard deviation of the difference in macro-F1 of two predictions of the same wafers, over resampled wafers."""
    two = two.set_index("wafer_id").loc[one["wafer_id"]]
    names, count = pd.Index(labels), len(labels)
    y, a, b = (names.get_indexer(column) for column in (one["y_true"], one["y_pred"], two["y_pred"]))
    rng = np.random.default_rng(derive_seed("choice of the recipe"))
    differences = []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(y), len(y))
        differences.append(macro_f1(y[rows], a[rows], count) - macro_f1(y[rows], b[rows], count))
    return float(np.std(differences))


def _macro_f1(table: pd.DataFrame, labels: Sequence[str]) -> float:
    return float(f1_score(table["y_true"], table["y_pred"], labels=list(labels), average="macro", zero_division=0))
