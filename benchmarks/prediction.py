"""How fast a trained cell names wafers: features a second, one wafer from dies to class, wafers a second in bulk.

python benchmarks/prediction.py --train 2000 --wafers 2000 --size 64
Either head: softmax, and the ECOC-SVM on the same features. The network is untrained: speed does not depend on weights.
The SVM is fitted on the features of simulated wafers, since its speed depends on its support vectors (their number is
given). The plain way is the network over images one by one, as PIL and torchvision deliver them.
"""

from __future__ import annotations

import argparse
import os

os.environ["GOMP_SPINCOUNT"] = "1000"  # before torch, as in the workflow's jobs: else all is slow beside other work

import numpy as np
import torch
from common import best_of, figure, peak_memory, say_device
from PIL import Image
from torchvision import transforms

from waferbench.classification.svm.svm import fit_ecoc_svm
from waferbench.classification.train import Normaliser, predict
from waferbench.config.classification import SvmSettings
from waferbench.config.study import Drawing
from waferbench.learning.backbones import create_backbone
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import CLASSES, simulate


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="tf_efficientnet_lite0")
    parser.add_argument("--train", type=int, default=2000, help="wafers that the SVM is fitted on")
    parser.add_argument("--wafers", type=int, default=2000, help="wafers named in bulk")
    parser.add_argument("--single", type=int, default=50, help="wafers named one by one")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    say_device()
    device, drawing = torch.device("cuda" if torch.cuda.is_available() else "cpu"), Drawing(size=args.size)
    torch.manual_seed(0)
    model, mean, std = create_backbone(args.network, len(CLASSES), False, image_size=args.size)
    model.to(device, memory_format=torch.channels_last)
    normalise = Normaliser(mean, std)

    def heads(maps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return predict(model, normalise, render(maps, drawing), device, args.precision)

    maps, names, _ = simulate({name: -(-args.train // len(CLASSES)) for name in CLASSES}, 0)
    y = np.array([CLASSES.index(name) for name in names])
    svm = fit_ecoc_svm(heads(maps)[0], y, SvmSettings(), args.threads)
    maps = simulate({name: -(-args.wafers // len(CLASSES)) for name in CLASSES}, 1)[0]
    maps = [maps[i] for i in np.random.default_rng(0).permutation(len(maps))[: args.wafers]]
    images = render(maps, drawing)
    chain = transforms.Compose(
        [transforms.Grayscale(3), transforms.Resize(args.size), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )

    @torch.inference_mode()
    def one_by_one() -> None:
        for image in images[: args.single]:
            model(chain(Image.fromarray(image))[None].to(device)).argmax(1).cpu()

    seconds = {
        "features": lambda: predict(model, normalise, images, device, args.precision),
        "bulk_softmax": lambda: heads(maps)[1].argmax(1),
        "bulk_ecoc_svm": lambda: svm.predict(heads(maps)[0]),
        "one_softmax": lambda: [heads([wafer])[1].argmax(1) for wafer in maps[: args.single]],
        "one_ecoc_svm": lambda: [svm.predict(heads([wafer])[0]) for wafer in maps[: args.single]],
        "plain": one_by_one,
    }
    best = dict.fromkeys(seconds, float("inf"))
    model.eval()
    for _ in range(args.repeats):  # in turns: what else runs on the machine then meets all of them
        for name, work in seconds.items():
            best[name] = min(best[name], best_of(1, work)[0])
    pace = len(images) / best["features"], "images/s", args.single / best["plain"]
    figure(f"features of {args.network}, {args.size} px", *pace, "the network over images one by one")
    names = {"softmax": "softmax", "ecoc_svm": f"ECOC-SVM of {len(svm.support_vectors)} support vectors"}
    for head, name in names.items():
        figure(f"one wafer, from dies to class, {name}", 1000 * best[f"one_{head}"] / args.single, "ms")
        figure(f"many wafers, from dies to class, {name}", len(maps) / best[f"bulk_{head}"], "wafers/s")
    peak_memory("all")


if __name__ == "__main__":
    main()
