"""KID of LoRA samples against the number of sampling steps, in a finished study: what justifies the default.

python benchmarks/sampler_steps.py results/wm811k-small --images 40
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from common import say, say_hardware, say_peak_memory, source_settings

from waferbench.base.artifacts import read_provenance, read_table
from waferbench.synthesis.diffusion.base import load_base
from waferbench.synthesis.diffusion.sample import Sampler
from waferbench.synthesis.quality.features import Features
from waferbench.synthesis.quality.frechet import frechet_of_features
from waferbench.synthesis.quality.kid import kernel_distance
from waferbench.synthesis.quality.selection import real_wafers
from waferbench.wafers.render import render
from waferbench.wafers.store import read_store


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, help="results/<study>")
    parser.add_argument("--source", default="lora")
    parser.add_argument("--images", type=int, default=40, help="a class")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 50, 100])
    args = parser.parse_args()
    say_hardware()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    (scope,) = sorted(path.parents[1] for path in args.study.glob(f"*/*/*/sources/{args.source}"))[:1]
    adapters = sorted((scope / "sources" / args.source / "adapters").glob("*.safetensors"))
    raw = read_provenance(scope / "sources" / args.source / "raw" / f"{adapters[0].stem}.h5")["settings"]
    network = Features("tf_efficientnet_lite0", 64, {}, device)
    selected, folds = read_table(args.study / "data/selected.parquet"), read_table(args.study / "folds.parquet")
    selected = selected[selected["label"].isin([path.stem for path in adapters])]
    wafers = real_wafers(selected, folds, scope.name, "val", 2000, 0)
    real = network(render(read_store(args.study / "data/wafers.h5").take(wafers["row"]), **raw["render"]))
    base = load_base(scope / "sources" / args.source / "base", device)
    for steps in args.steps:
        start, parts = time.perf_counter(), []
        settings = {**source_settings("lora", "config"), **raw["source"], "sampler_steps": steps}
        with Sampler(base, settings, raw["seed"], scope.name, raw["render"]["size"]) as sampler:
            for path in adapters:
                sampler.load(path)
                parts.append(sampler.draw(path.stem, 0, args.images))
        seconds = time.perf_counter() - start
        drawn = network(np.concatenate(parts))
        kid, low, high = kernel_distance(drawn, real, 50, 100, np.random.default_rng(1))
        found = {"steps": steps, "kid": kid, "low": low, "high": high, "frechet": frechet_of_features(drawn, real)}
        print(json.dumps({**found, "images_per_second": len(drawn) / seconds}), flush=True)
    say("images", len(drawn), ".0f")
    say_peak_memory()


if __name__ == "__main__":
    main()
