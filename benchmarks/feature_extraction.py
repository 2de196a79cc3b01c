"""Features of images against clean-fid's own loop (files, workers, its clean resize), same network, same images.

python benchmarks/feature_extraction.py --images 512 --network tf_efficientnet_lite0
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from cleanfid.fid import get_files_features
from common import best_of, figure, peak_memory, say_device
from PIL import Image

from waferbench.config.stages import WeightSearch
from waferbench.config.study import Drawing
from waferbench.synthesis.quality.features import Features
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import simulate


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--network", default="tf_efficientnet_lite0", help="inception_v3 with --folder for its file")
    parser.add_argument("--folder", default="")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    say_device()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    features = Features(args.network, 299, WeightSearch(folder=args.folder), device)
    images = render(simulate({"Loc": args.images}, 0)[0], Drawing(size=64))

    fast, found = best_of(2, lambda: features(images))
    peak_memory("here")
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder, f"{i:05d}.png")) for i in range(len(images))]
        for path, image in zip(files, images, strict=True):
            Image.fromarray(np.stack([image] * 3, 2)).save(path)
        options = {"num_workers": args.workers, "batch_size": 64, "device": device, "verbose": False}
        slow, expected = best_of(2, lambda: get_files_features(files, features.of_resized, **options))
    figure(f"features of {args.network}", len(images) / fast, "images/s", len(images) / slow, "clean-fid's loop")
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    figure("largest relative difference to clean-fid's features", difference, "")
    peak_memory("with the other way")


if __name__ == "__main__":
    main()
