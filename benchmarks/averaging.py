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
from waferbench.statistics.intervals import wafer_intervals
from waferbench.statistics.probabilities import softmax_of

SINGLE, AVERAGE = "mean of the single ones", "average"


def averaged(models: list[pd.DataFrame], labels: list[str]) -> pd.DataFrame:
    """The calls by the mean of the models' probabilities, which must be of the same wafers in the same order."""
    first = models[0]
    if any(not model["wafer_id"].equals(first["wafer_id"]) for model in models):
        raise SystemExit("the models were tested on other wafers, or in another order: nothing to average")
    mean = np.mean([softmax_of(model, labels)[0] for model in models], axis=0)
    return first.assign(y_pred=np.array(labels)[mean.argmax(1)])


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
    labels = sorted(next(iter(models.values()))["y_true"].unique())
    shown = {**models, SINGLE: pd.concat(models.values()), AVERAGE: averaged(list(models.values()), labels)}
    table = pd.concat([model.assign(condition=name) for name, model in shown.items()])
    for row in wafer_intervals(table, {asked.protocol: labels}, SINGLE).itertuples():
        against = f", minus the {row.reference}" if row.reference else ""
        print(f"{row.condition}{against}: {row.value:.4f} ({row.low:.4f} to {row.high:.4f})")


if __name__ == "__main__":
    main()
