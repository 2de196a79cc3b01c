"""The page of an evaluation: a classifier of the study on another labelled data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from waferbench.report.kit.page import fill
from waferbench.report.kit.tables import BLANK, Cell, Table, name, number

MEASURES = {
    "unseen_grids": "Die grids unseen in training",
    "failing_fraction": "Failing fractions, distance within a class",
    "unusual": "Wafers unlike any in training",
    "confidence": "Mean confidence (at home: the accuracy here)",
}


def write_evaluation(
    template: str | Path,
    output: str | Path,
    scores: pd.DataFrame,
    confusion: pd.DataFrame,
    shift: pd.DataFrame,
    warnings: Sequence[str],
    told: Sequence[str],
    names: Mapping[str, str],
    facts: Mapping[str, Any],
) -> None:
    """Write the page, which needs no other file.

    Args:
        scores, confusion, shift: by `waferbench.classification.evaluate`.
        warnings: what is shifted, a sentence each. told: what became of class names.
        names: label -> class name, in the order of the classes.
        facts: study, file, protocol, backbone, condition, fold, head, home (its macro-F1 there), confidence (of
            intervals), n, n_left_out, n_in_training.
    """
    whole = {row["metric"]: row for row in scores.to_dict("records") if not row["label"]}
    tiles = [
        ("Macro-F1 here", f"{whole['macro_f1']['value']:.3f}", _range(whole["macro_f1"]), "bad" if warnings else ""),
        ("Macro-F1 at home", f"{facts['home']:.3f}", "the same classes, of the model's own test wafers", ""),
        ("Accuracy here", f"{whole['accuracy']['value']:.3f}", _range(whole["accuracy"]), ""),
        (
            "Mean confidence",
            f"{whole['mean_confidence']['value']:.3f}",
            f"calibration error {whole['ece']['value']:.3f}",
            "",
        ),
    ]
    fill(
        template,
        output,
        {
            "page": {"warning": ""},
            "facts": facts,
            "tiles": tiles,
            "warnings": warnings,
            "told": told,
            "classes": _classes(scores, names),
            "confusion": _confusion(confusion, names),
            "shift": _shift(shift),
        },
    )


def _range(row: Mapping[str, Any]) -> str:
    return f"{row['low']:.3f} to {row['high']:.3f}" if pd.notna(row["low"]) else "no interval: too few wafers"


def _classes(scores: pd.DataFrame, names: Mapping[str, str]) -> Table:
    rows = []
    for label in [label for label in names if label in set(scores["label"])]:
        mine = scores[scores["label"] == label].set_index("metric").to_dict("index")
        cells = [number(mine[m]["value"], note=_range(mine[m])) for m in ("f1", "precision", "recall")]
        rows.append([name(names[label]), *cells, number(mine["f1"]["n"], ",.0f")])
    return Table(["Class", "F1", "Precision", "Recall", "Wafers"], rows)


def _confusion(table: pd.DataFrame, names: Mapping[str, str]) -> Table:
    counts = table.pivot(index="y_true", columns="y_pred", values="n").loc[list(names), list(names)]
    rows = []
    for label, row in counts.iterrows():
        total = max(1, int(row.sum()))
        cells = [
            Cell(f"{n:,}", int(n), tone="right" if other == label else "wrong", heat=n / total) if n else BLANK
            for other, n in row.items()
        ]
        rows.append([name(names[str(label)]), *cells])
    return Table(["", *names.values()], rows, kind="confusion")


def _shift(table: pd.DataFrame) -> Table:
    rows = [
        [
            name(MEASURES[row["measure"]]),
            number(row["value"], ".2f", tone="bad" if row["shifted"] else ""),
            number(row["at_home"], ".2f"),
            number(row["limit"], ".2f"),
            Cell("shifted" if row["shifted"] else "as at home", tone="bad" if row["shifted"] else "good"),
        ]
        for row in table.to_dict("records")
    ]
    return Table(["Measure", "Here", "At home", "Limit", ""], rows)
