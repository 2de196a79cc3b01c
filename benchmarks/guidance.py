"""What guidance does to a source that is trained: how many samples carry their class, and how various they are.

python benchmarks/guidance.py wm811k die_flow 1.5 2 3                       (fold 0 of results/wm811k)
python benchmarks/guidance.py wm811k lora 2 3 --sampler-steps 8 --samples 20
python benchmarks/guidance.py wm811k die_flow 2 --ramp rising
python benchmarks/guidance.py wm811k die_lora 2 --csv docs/results/wm811k-guidance.csv

Nothing is trained: it draws from the networks and asks the judge that a study has made on the way to its tables,

snakemake ... --configfile config/wm811k.yaml --config set='folds.run=[0]' results/wm811k/agreement.parquet

so that a weight costs a minute. Share: of the samples of a class that the judge takes for it. Coverage: of real test
wafers of a class, those that have a sample as near as their fifth nearest wafer, in the judge's features (Naeem et al.
2020); as many test wafers as samples at most. Beside each source stand the share of real test wafers, and how as many
training wafers cover them. Tune on a fold that is not reported.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from common import ROOT, commit

from waferbench.base.artifacts import read_h5, read_table, read_weights
from waferbench.base.scope import Fold
from waferbench.classification.data import fit_samples
from waferbench.classification.train import predict
from waferbench.classification.trained import load_classifier
from waferbench.config.resolve import resolve
from waferbench.config.synthesis.grid import SynthesisGrid
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.config.synthesis.sources import DieFlow, Lora, Source
from waferbench.synthesis.dieflow.sample import Sampler as DieFlowSampler
from waferbench.synthesis.dielora.base import load_die_base
from waferbench.synthesis.dielora.sample import Sampler as DieLoraSampler
from waferbench.synthesis.diffusion.base import load_base
from waferbench.synthesis.diffusion.sample import Sampler as LoraSampler
from waferbench.synthesis.quality.prdc import prdc
from waferbench.wafers.render import render
from waferbench.wafers.training import TrainingWafers

CPU = torch.device("cpu")
MEASURED = ["share", "coverage", "ms", "commit"]
COLUMNS = ["source", "fold", "seed", "guidance", "ramp", "sampler_steps", "n", "label", *MEASURED]
NEIGHBOURS = 5
Draw = Callable[[str, int], np.ndarray]


class Study:
    """A study's folder, whose paths are those of its settings."""

    def __init__(self, overlay: str, folder: Path, fold: int):
        written = yaml.safe_load((ROOT / f"config/{overlay}.yaml").read_text())
        self.settings = resolve(written, SynthesisSettings)
        self.grid, self.folder, self.fold = SynthesisGrid(self.settings), folder, fold
        self.where = {"protocol": next(iter(self.grid.protocols)), "seed": self.settings.seed}
        files = {"store": "data/wafers.h5", "selected": "data/selected.parquet"}
        files = {name: str(folder / file) for name, file in files.items()}
        files["folds"] = str(self.at(f"{self.grid.run}/folds.parquet"))
        self.wafers = TrainingWafers.read(files, Fold(fold), self.grid.classes)
        judge = self.settings.quality.judge
        self.cell = self.at(self.grid.cell, backbone=judge.backbone, condition=judge.condition)
        levels = self.settings.render.levels
        given = (judge.backbone, self.wafers.classes, self.settings.classifier, levels, None)
        self.judge, self.normalise = load_classifier(self.cell / "checkpoint.safetensors", *given)
        kept = [f"{split}_{what}" for split in ("train", "test") for what in ("features", "labels")]
        self.features = read_h5(self.cell / "features.h5", kept)

    def at(self, pattern: str, **more: str) -> Path:
        """A path of the grid, in this folder."""
        path = pattern.format(**self.where, scope=Fold(self.fold), fold=self.fold, **more)
        return self.folder / Path(path).relative_to(self.grid.study)

    def measures(self, images: np.ndarray, label: str) -> dict[str, float]:
        """Of images uint8 (N, S, S) as they are drawn: share that the judge takes for this class, and coverage."""
        given = fit_samples(images, self.grid.judging())
        features, chances = predict(self.judge, self.normalise, given, CPU, "auto")
        right = float((chances.argmax(1) == self.wafers.classes.index(label)).mean())
        return {"share": right, "coverage": self.coverage(features, label)}

    def coverage(self, features: np.ndarray, label: str) -> float:
        """Of real test wafers of a class by samples float (N, D)."""
        return prdc(self.of(label, "test")[: len(features)], features, NEIGHBOURS)["coverage"]

    def of(self, label: str, split: str) -> np.ndarray:
        """The judge's features of the real wafers of a class, float (N, D)."""
        mine = self.features[f"{split}_labels"] == self.wafers.classes.index(label)
        return self.features[f"{split}_features"][mine]

    def floor(self, n: int) -> list[dict[str, float | str]]:
        """What the judge says of real test wafers, and how n training wafers cover them, a row a label."""
        called = read_table(self.cell / "softmax.parquet")
        right = (called["y_pred"] == called["y_true"]).groupby(called["y_true"]).mean()
        covered = {label: self.coverage(self.of(label, "train")[:n], label) for label in self.wafers.classes}
        return [{"label": name, "share": right[name], "coverage": covered[name]} for name in self.wafers.classes]

    def drawer(self, name: str, source: Source) -> Draw:
        """What draws so many images of a label."""
        folder, seed, scope = self.at(self.grid.source, source=name), self.settings.seed, Fold(self.fold)
        adapters = {label: folder / "adapters" / f"{label}.safetensors" for label in self.wafers.classes}
        drawing, base = self.settings.render, self.at(self.grid.base, source=name)
        if isinstance(source, Lora):
            lora = LoraSampler(load_base(base / "base", CPU), source, seed, scope, drawing.size)

            def draw(label: str, n: int) -> np.ndarray:
                lora.load(adapters[label])
                return lora.draw(label, 0, n)

            return draw
        grids = {label: self.wafers.maps_of(label) for label in self.wafers.classes}
        if isinstance(source, DieFlow):
            dies = DieFlowSampler(read_weights(folder / "network.safetensors"), grids, source, seed, scope, CPU)
        else:
            frozen = load_die_base(base / "network.safetensors", source.channels, CPU)
            weights = {label: read_weights(path) for label, path in adapters.items()}
            dies = DieLoraSampler(frozen, weights, grids, source, seed, scope)
        return lambda label, n: render(dies.draw(label, 0, n), drawing)


def main() -> None:
    """A row a weight and label."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overlay", help="of config/, the study's settings")
    parser.add_argument("source")
    parser.add_argument("guidance", type=float, nargs="+")
    parser.add_argument("--study-folder", type=Path, help="default: results/<study>")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--samples", type=int, default=40, help="of each class")
    parser.add_argument("--sampler-steps", type=int, default=0, help="default: the settings'")
    parser.add_argument("--ramp", choices=("none", "rising", "falling"), help="of die-space models")
    parser.add_argument(
        "--csv",
        type=Path,
        help="rows are added to it, those of the same drawing replaced; ms: processor time to draw a sample",
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(args.overlay, args.study_folder or Path("results") / args.overlay, args.fold)
    source = study.settings.define.sources[args.source]
    if not hasattr(source, "guidance"):
        parser.error(f"{args.source} is a {source.kind}, which nothing guides")
    changes = {"sampler_steps": args.sampler_steps or source.sampler_steps}
    if args.ramp:
        changes["guidance_ramp"] = args.ramp
    source = source.model_copy(update=changes)
    rows = [{"source": "real", "n": args.samples, **row} for row in study.floor(args.samples)]
    drawn = {"source": args.source, "sampler_steps": source.sampler_steps, "n": args.samples}
    drawn["ramp"] = getattr(source, "guidance_ramp", "none")
    for weight in args.guidance:
        draw = study.drawer(args.source, source.model_copy(update={"guidance": weight}))
        for label in study.wafers.classes:
            start = time.process_time()
            images, seconds = draw(label, args.samples), time.process_time() - start
            row = {**drawn, "guidance": weight, "label": label, "ms": 1000 * seconds / args.samples}
            rows.append(row | study.measures(images, label))
    told = {"fold": args.fold, "seed": study.settings.seed, "commit": commit()}
    table = pd.DataFrame(rows, columns=COLUMNS).assign(**told).round({"ms": 0})
    for measure in ("share", "coverage"):
        wide = table.fillna({"guidance": 0}).pivot(index=["source", "guidance"], columns="label", values=measure)
        print(f"{measure}\n{wide.assign(mean=wide.mean(axis=1)).round(2).to_string()}")
    if args.csv:
        table = pd.concat([pd.read_csv(args.csv), table]) if args.csv.exists() else table
        kept = table.drop_duplicates([name for name in COLUMNS if name not in MEASURED], keep="last")
        kept.to_csv(args.csv, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
