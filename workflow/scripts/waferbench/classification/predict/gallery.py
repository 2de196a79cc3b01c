"""The gallery: one HTML page of the wafers that the classifier is least sure of, beside their nearest in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from waferbench.base.files import atomic
from waferbench.base.tables import probability
from waferbench.classification.predict.table import accuracy
from waferbench.config.study import Drawing
from waferbench.wafers.pictures import strip
from waferbench.wafers.render import render
from waferbench.wafers.store import WaferStore

TOP = 3  # classes named on a card


def write_gallery(
    path: str | Path,
    template: str | Path,
    table: pd.DataFrame,
    store: WaferStore,
    training: pd.DataFrame,
    training_store: WaferStore,
    labels: Mapping[str, str],
    drawing: Drawing,
    most: int,
    facts: Mapping[str, Any],
) -> None:
    """Write the page, which needs nothing else.

    Args:
        table: by `predict_wafers`, in the order of ``store``.
        training: ``wafer_id, row, class`` of the wafers of ``training_store``.
        labels: class name -> slug, in the order of the classes.
        drawing: how pictures are drawn.
        most: wafers shown, those of largest entropy.
        facts: study, file, total, neighbours, leaky; protocol, backbone, condition, fold, head, macro_f1, n_recipes as
            by `choose_cell`.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(Path(template).read_text(encoding="utf-8"))
    names = {label: name for name, label in labels.items()}
    shown = np.argsort(-table["entropy"].to_numpy(), kind="stable")[:most]
    cards = _cards(table.iloc[shown], shown, store, training, training_store, names, drawing)
    failing = sorted({code for codes in table["failing_bins"].unique() for code in codes.split()})
    with atomic(path) as temporary:
        temporary.write_text(
            page.render(cards=cards, facts=facts, tiles=_tiles(table), classes=_classes(table, names), failing=failing),
            encoding="utf-8",
        )


def _tiles(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Number and what it counts."""
    right, known = accuracy(table)
    tiles = [(f"{len(table):,}", "wafers")]
    if known:
        tiles.append((f"{right / known:.1%}", f"of {known:,} labelled wafers called by their class"))
    tiles.append((f"{int((~table['heads_agree']).sum()):,}", "the two heads disagree on"))
    tiles.append((f"{int(table['unusual'].sum()):,}", "unlike the training wafers"))
    rare = {
        "unseen_grid": "with a die grid unseen in training",
        "in_training": "die for die training wafers, left out of the accuracy",
    }
    for column, text in rare.items():
        count = int(table[column].astype(bool).sum())
        tiles += [(f"{count:,}", text)] if count else []
    return tiles


def _classes(table: pd.DataFrame, names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Slug, name and number of wafers called so, of each class."""
    counts = table["called"].value_counts()
    return [{"label": label, "name": name, "count": int(counts.get(label, 0))} for label, name in names.items()]


def _cards(
    rows: pd.DataFrame,
    places: Sequence[int],
    store: WaferStore,
    training: pd.DataFrame,
    training_store: WaferStore,
    names: Mapping[str, str],
    drawing: Drawing,
) -> list[dict[str, Any]]:
    known = training.set_index("wafer_id")
    columns = [name for name in rows if name.startswith("nearest_")]
    wanted = sorted({wafer for name in columns for wafer in rows[name]})
    twins = dict(zip(wanted, _pictures(training_store, known.loc[wanted, "row"], drawing), strict=True))
    images, cards = _pictures(store, places, drawing), []
    for row, image in zip(rows.to_dict("records"), images, strict=True):
        probabilities = sorted(((row[probability(label)], name) for label, name in names.items()), reverse=True)
        nearest = [
            {
                "id": row[name],
                "class": known.loc[row[name], "class"],
                "distance": row[f"distance_{name.rpartition('_')[2]}"],
                "image": twins[row[name]],
            }
            for name in columns
        ]
        cards.append(
            {
                **row,
                "image": image,
                "name": names[row["called"]],
                "svm_name": names[row["called_svm"]],
                "softmax_name": names[row["called_softmax"]],
                "own_name": names.get(row["label"], ""),
                "top": [{"name": name, "p": p} for p, name in probabilities[:TOP]],
                "nearest": nearest,
                "flags": _flags(row),
            }
        )
    return cards


def _flags(row: Mapping[str, Any]) -> list[str]:
    flags = [] if row["heads_agree"] else ["heads disagree"]
    flags += ["unlike training"] if row["unusual"] else []
    flags += [f"grid {row['rows']} x {row['columns']} unseen"] if row["unseen_grid"] else []
    flags += ["is a training wafer"] if row["in_training"] else []
    return flags


def _pictures(store: WaferStore, rows: Sequence[int] | pd.Series, drawing: Drawing) -> list[str]:
    """PNG data addresses of some wafers, in the report's colours."""
    images = render(store.take(rows), drawing)
    return [strip(images[k : k + 1], drawing.levels, 1) for k in range(len(images))]
