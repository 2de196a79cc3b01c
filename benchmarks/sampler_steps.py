"""KID of LoRA samples against the number of sampling steps, in a finished study: what justifies the default.

python benchmarks/sampler_steps.py results/wm811k --images 40
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from common import figure, peak_memory, say_device

from waferbench.base.artifacts import read_provenance
from waferbench.base.scope import Scope
from waferbench.config.synthesis.stages import SampleLora
from waferbench.synthesis.diffusion.base import load_base
from waferbench.synthesis.diffusion.sample import Sampler
from waferbench.synthesis.quality.features import Features
from waferbench.synthesis.quality.frechet import frechet_of_features
from waferbench.synthesis.quality.kid import kernel_distance
from waferbench.synthesis.quality.selection import real_wafers
from waferbench.wafers.training import TrainingWafers


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="results/<study>")
    parser.add_argument("--source", default="lora")
    parser.add_argument("--images", type=int, default=40, help="a class")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    args = parser.parse_args()
    say_device()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    (folder,) = sorted(path.parents[1] for path in args.study.glob(f"*/*/*/sources/{args.source}"))[:1]
    source, scope = folder / "sources" / args.source, Scope.parse(folder.name)
    adapters = sorted((source / "adapters").glob("*.safetensors"))
    made = read_provenance(source / "raw" / f"{adapters[0].stem}.h5")
    settings = SampleLora.model_validate(made["settings"])
    network = Features("tf_efficientnet_lite0", 64, device=device)
    files = {"store": args.study / "data/wafers.h5", "selected": args.study / "data/selected.parquet"}
    files["folds"] = folder.parent / "folds.parquet"
    wafers = TrainingWafers.read(files, scope, settings.classes, "val")
    wafers = wafers.at(real_wafers(wafers.labels, scope, "val", 2000, 0))
    real = network(wafers.images(settings.render))
    base = load_base(args.study / "bases" / args.source / "base", device)
    for steps in args.steps:
        start, parts = time.perf_counter(), []
        how = settings.source.model_copy(update={"sampler_steps": steps})
        with Sampler(base, how, settings.seed, scope, settings.render.size) as sampler:
            for path in adapters:
                sampler.load(path)
                parts.append(sampler.draw(path.stem, 0, args.images))
        seconds = time.perf_counter() - start
        drawn = network(np.concatenate(parts))
        kid, low, high = kernel_distance(drawn, real, 50, 100, np.random.default_rng(1))
        of = f"{steps} UniPC steps, {len(drawn)} images"
        figure(f"LoRA samples, {of}", len(drawn) / seconds, "images/s")
        for what, value in (("", kid), (", low end of its 95% interval", low), (", high end", high)):
            figure(f"KID x 1000, {of}{what}", 1000 * value, "")
        figure(f"Frechet distance, {of}", frechet_of_features(drawn, real), "")
    peak_memory("all")


if __name__ == "__main__":
    main()
