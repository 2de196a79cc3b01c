"""What the average of a condition's models is worth: macro-F1 of each seed's, and of their mean probabilities.

python benchmarks/averaging.py results/wm811k_strong --protocol duplicate_cv5 --fold 2   (of a study with `repeats: 3`)
Intervals (95%) resample the fold's test wafers within each class, the same wafers for all; they know nothing of another
training.
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
    """The calls by the mean of the models' probabilities, which must be of the same wafers in the same order."""
    first = models[0]
    if any(not model["wafer_id"].equals(first["wafer_id"]) for model in models):
        raise SystemExit("the models were tested on other wafers, or in another order: nothing to average")
    columns = [column for column in first if column.startswith(PREFIX)]
    mean = sum(model[columns] for model in models)
    return first.assign(y_pred=mean.idxmax(axis=1).str.removeprefix(PREFIX))


def drawn_scores(table: pd.DataFrame) -> np.ndarray:
    """Macro-F1, float (1 + draws,): of the wafers as they are, then resampled."""
    labels = sorted(table["y_true"].unique())
    true, called = (pd.Categorical(table[column], labels).codes for column in ("y_true", "y_pred"))
    weights = np.concatenate([np.ones((1, len(true))), resample(true, DRAWS, np.random.default_rng(0))])
    return f1_of(count_calls(true, called, weights.astype(np.float32), len(labels)))


def say(name: str, drawn: np.ndarray) -> None:
    low, high = np.quantile(drawn[1:], [0.025, 0.975])
    print(f"{name}: {drawn[0]:.4f} ({low:.4f} to {high:.4f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--fold", type=int, required=True)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--condition", default="real_aug")
    asked = parser.parse_args()
    cell = f"{asked.protocol}/seed*/fold{asked.fold}/cells/{asked.backbone}/{asked.condition}/softmax.parquet"
    models = {path.parts[-6]: read_table(path) for path in sorted(asked.study.glob(cell))}
    if len(models) < 2:
        raise SystemExit(f"{asked.study}/{cell}: {len(models)} found, expected two or more; run it with repeats=3")
    single = {name: drawn_scores(table) for name, table in models.items()}
    together = drawn_scores(averaged(list(models.values())))
    for name, drawn in single.items():
        say(name, drawn)
    say(f"average of {len(models)}", together)
    say("average, minus the mean of the single ones", together - np.mean(list(single.values()), axis=0))


if __name__ == "__main__":
    main()
