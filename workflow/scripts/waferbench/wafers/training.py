"""The wafers that something is fitted on or held against: those of one scope and split, with maps and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from waferbench.base.artifacts import read_table
from waferbench.base.names import labels_of
from waferbench.base.scope import Scope
from waferbench.config.study import Drawing
from waferbench.wafers.folds import wafers_of
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.store import WaferStore, read_store


@dataclass(frozen=True)
class TrainingWafers:
    """Wafers of one split of one scope.

    table: the rows of the selected wafers, ``wafer_id, row, label, ...``, in their order.
    classes: labels (slugs) of the classes under study, in their order; no other is in the table.
    store: of all wafers of the study.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    store: WaferStore

    @classmethod
    def read(
        cls, files: Mapping[str, Any], scope: Scope, classes: Sequence[str], split: str = "train"
    ) -> TrainingWafers:
        """Read them from a job's named files.

        Args:
            files: ``store``, ``selected`` and, for a fold, ``folds``.
            scope: `Fold(3)`, or `POOLED`: every selected wafer, whatever the split.
            classes: class names under study.
            split: train, val, test or reserve.
        """
        return cls.splits(files, scope, classes, split)[0]

    @classmethod
    def splits(
        cls, files: Mapping[str, Any], scope: Scope, classes: Sequence[str], *splits: str
    ) -> list[TrainingWafers]:
        """Those of several splits, as `read` reads one; the store is read once."""
        labels = tuple(labels_of(classes))
        folds = read_table(files["folds"]) if files.get("folds") else None
        selected, store = read_table(files["selected"]), read_store(files["store"])
        tables = [wafers_of(selected, folds, scope, split) for split in splits]
        return [cls(table[table["label"].isin(labels)], labels, store) for table in tables]

    def at(self, positions: Sequence[int] | np.ndarray) -> TrainingWafers:
        """The wafers at these positions, in that order."""
        return replace(self, table=self.table.iloc[positions])

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> np.ndarray:
        """str (N,), label of each wafer."""
        return self.table["label"].to_numpy()

    @property
    def maps(self) -> list[np.ndarray]:
        """N maps, uint8 (rows, columns) of 0 off-wafer, 1 pass, 2 fail."""
        return self.store.take(self.table["row"])

    def images(self, drawing: Drawing) -> np.ndarray:
        """uint8 (N, size, size) grey."""
        return render(self.maps, drawing)

    def maps_of(self, label: str) -> list[np.ndarray]:
        """The maps of one class."""
        return self.store.take(self.table.loc[self.table["label"] == label, "row"])

    @property
    def provenance(self) -> dict[str, str | int]:
        """The entries of an artifact that is fitted on these wafers, see `waferbench.wafers.leakage`."""
        return fitted_on(self.table)
