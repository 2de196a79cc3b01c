"""What the average of a condition's models is worth: macro-F1 of each seed's, and of their mean probabilities.

python benchmarks/averaging.py results/wm811k_strong --fold 1     (of a study with `repeats: 3`)
Intervals (95%) resample the fold's test wafers within each class; they know nothing of another training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import common  # noqa: F401  (the library's place)
import numpy as np
import pandas as pd

from waferbench.base.artifacts import read_table
from waferbench.statistics.intervals import count_calls, f1_of, resample

DRAWS, PREFIX = 1000, "p_"


def averaged(models: list[pd.DataFrame]) -> pd.DataFrame:
    """The models' predictions by the mean of their probabilities, wafer by wafer."""
    first, *others = (model.set_index("wafer_id").sort_index() for model in models)
    columns = [column for column in first if column.startswith(PREFIX)]
    mean = sum((other[columns] for other in others), first[columns])
    return first.assign(y_pred=mean.idxmax(axis=1).str.removeprefix(PREFIX))


def say(name: str, table: pd.DataFrame) -> None:
    """Macro-F1 and its interval."""
    labels = sorted(table["y_true"].unique())
    true, called = (pd.Categorical(table[column], labels).codes for column in ("y_true", "y_pred"))
    weights = np.concatenate([np.ones((1, len(true))), resample(true, DRAWS, np.random.default_rng(0))])
    value, *drawn = f1_of(count_calls(true, called, weights.astype(np.float32), len(labels)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(f"{name}: {value:.4f} ({low:.4f} to {high:.4f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--condition", default="real_aug")
    asked = parser.parse_args()
    cell = f"*/seed*/fold{asked.fold}/cells/{asked.backbone}/{asked.condition}/softmax.parquet"
    models = {path.parts[-6]: read_table(path) for path in sorted(asked.study.glob(cell))}
    if len(models) < 2:
        raise SystemExit(f"{asked.study}/{cell}: {len(models)} found, expected two or more; run it with repeats=3")
    for name, table in models.items():
        say(name, table)
    say(f"average of {len(models)}", averaged(list(models.values())))


if __name__ == "__main__":
    main()
