"""Scores of backbones and conditions in blocks that draw wafers, generators and trainings anew: folds or replicates."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

METRIC = "macro_f1"


@dataclass(frozen=True)
class Blocks:
    """What one protocol and head scored.

    values: float (J, N, K), macro-F1 of J folds, N backbones and K conditions. A fold's seeds are averaged: they share
        its wafers, so that they are no draws that share nothing, and one fold is one block whatever its seeds.
    """

    protocol: str
    head: str
    values: np.ndarray
    backbones: list[str]
    conditions: list[str]


def blocks_of(scores: pd.DataFrame) -> Iterator[Blocks]:
    """Per protocol and head the backbones that have every condition, in the blocks that have all of these.

    Args:
        scores: table of `waferbench.classification.scores.collect`. What is left out is said on stderr.
    """
    for (protocol, head), part in scores.groupby(["protocol", "head"], sort=True):
        table = part.pivot_table(METRIC, ["backbone", "fold"], "condition", aggfunc="mean")
        partial = table.groupby("backbone").transform(lambda column: column.isna().all()).any(axis=1)
        _say(protocol, "backbone", table[partial].index.unique("backbone"))
        table = table[~partial].stack(future_stack=True).unstack("fold")
        lacking = table.columns[table.isna().any()]
        _say(protocol, "fold", lacking)
        table = table.drop(columns=lacking)
        conditions = list(table.index.unique("condition"))
        backbones = list(table.index.unique("backbone"))
        values = table.to_numpy(float).T.reshape(table.shape[1], len(backbones), len(conditions))
        yield Blocks(str(protocol), str(head), values, backbones, conditions)


def _say(protocol: str, what: str, left_out: pd.Index) -> None:
    if len(left_out):
        names = ", ".join(map(str, left_out))
        print(f"{protocol}, {what} {names}: not every condition has a score; left out of the ranks", file=sys.stderr)
