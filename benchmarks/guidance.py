"""What guidance does to the labels of a source that is trained: the share of its samples that a judge takes for them.

python benchmarks/guidance.py wm811k die_flow 1.5 2 3                       (fold 0 of results/wm811k)
python benchmarks/guidance.py wm811k lora 2 3 --sampler-steps 8 --samples 20
python benchmarks/guidance.py wm811k die_lora 2 --csv docs/results/wm811k-guidance.csv

Nothing is trained: it draws from the networks and asks the judge that a study has made on the way to its tables,

snakemake ... --configfile config/wm811k.yaml --config set='folds.run=[0]' results/wm811k/agreement.parquet

so that a weight costs a minute. Beside each source stands what the judge says of real test wafers. Tune on a fold that
is not reported.
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
from common import ROOT

from waferbench.base.artifacts import read_table, read_weights
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
from waferbench.wafers.render import render
from waferbench.wafers.training import TrainingWafers

CPU = torch.device("cpu")
COLUMNS = ["source", "fold", "seed", "guidance", "sampler_steps", "label", "share", "n", "ms"]
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

    def at(self, pattern: str, **more: str) -> Path:
        """A path of the grid, in this folder."""
        path = pattern.format(**self.where, scope=Fold(self.fold), fold=self.fold, **more)
        return self.folder / Path(path).relative_to(self.grid.study)

    def share(self, images: np.ndarray, label: str) -> float:
        """Of images uint8 (N, S, S) as they are drawn, the share that the judge takes for this class."""
        chances = predict(self.judge, self.normalise, fit_samples(images, self.grid.judging()), CPU, "auto")[1]
        return float((chances.argmax(1) == self.wafers.classes.index(label)).mean())

    def floor(self) -> dict[str, float]:
        """What the judge says of real test wafers: label -> share."""
        called = read_table(self.cell / "softmax.parquet")
        return called.assign(right=called["y_pred"] == called["y_true"]).groupby("y_true")["right"].mean().to_dict()

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
    source = source.model_copy(update={"sampler_steps": args.sampler_steps or source.sampler_steps})
    rows = [{"source": "real", "label": label, "share": share} for label, share in study.floor().items()]
    for weight in args.guidance:
        draw = study.drawer(args.source, source.model_copy(update={"guidance": weight}))
        for label in study.wafers.classes:
            start = time.process_time()
            images, seconds = draw(label, args.samples), time.process_time() - start
            row = {"source": args.source, "guidance": weight, "sampler_steps": source.sampler_steps, "label": label}
            row |= {"share": study.share(images, label), "n": args.samples, "ms": 1000 * seconds / args.samples}
            rows.append(row)
    table = pd.DataFrame(rows, columns=COLUMNS).assign(fold=args.fold, seed=study.settings.seed).round({"ms": 0})
    wide = table.fillna({"guidance": 0}).pivot(index=["source", "guidance"], columns="label", values="share")
    print(wide.assign(mean=wide.mean(axis=1)).round(2).to_string())
    if args.csv:
        table = pd.concat([pd.read_csv(args.csv), table]) if args.csv.exists() else table
        kept = table.drop_duplicates([name for name in COLUMNS if name not in ("share", "n", "ms")], keep="last")
        kept.to_csv(args.csv, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
