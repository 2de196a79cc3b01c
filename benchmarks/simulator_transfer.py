"""How well a classifier that saw simulated wafers alone names real ones: macro-F1 over the eight patterns.

    python benchmarks/simulator_transfer.py wm811k_labelled.npz --wafers 8000 --epochs 4

The file holds ragged maps: flat (uint8: 0 off-wafer, 1 pass, 2 fail), offsets, shapes, label, classes. The real wafers
take no part in training, and the last epoch's weights are the ones tested. `--rows even` tests on every other wafer:
tune the simulator on these, and judge it on `--rows odd`.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from common import figure
from sklearn.metrics import confusion_matrix, f1_score
from torch.nn import functional as F

from waferbench.base.seeds import derive_seed
from waferbench.config.study import Drawing
from waferbench.learning.backbones import create_backbone
from waferbench.learning.depthwise import speed_up_depthwise
from waferbench.learning.runtime import seed_everything
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import CLASSES, simulate

PATTERNS = CLASSES[:-1]


def batch_of(images: np.ndarray) -> torch.Tensor:
    """uint8 (n, s, s) to the network's float32 (n, 3, s, s)."""
    grey = torch.from_numpy(images).float() / 127.5 - 1  # as the weights were trained
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()


def train(images: np.ndarray, labels: np.ndarray, args: argparse.Namespace) -> torch.nn.Module:
    """Fine-tune on all images with the wafer's eight symmetries, the learning rate falling as a cosine."""
    seed_everything(derive_seed(args.seed, "transfer"))
    rng = np.random.default_rng(derive_seed(args.seed, "order"))
    model = speed_up_depthwise(create_backbone("tf_efficientnet_lite0", len(PATTERNS))[0]).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.05)
    steps = args.epochs * (len(images) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.15)
    for epoch in range(args.epochs):
        losses = []
        for part in np.array_split(rng.permutation(len(images)), len(images) // args.batch):
            turned = np.stack([np.rot90(images[i], rng.integers(4))[:, :: rng.choice((1, -1))] for i in part])
            loss = F.cross_entropy(model(batch_of(turned)), torch.from_numpy(labels[part]), label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} loss {np.mean(losses):.3f}", file=sys.stderr)
    return model.eval()


@torch.no_grad()
def predict(model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Class index of each image."""
    return np.concatenate([model(batch_of(images[i : i + 256])).argmax(1).numpy() for i in range(0, len(images), 256)])


def real_wafers(path: Path, size: int, rows: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the real wafers with a pattern."""
    with np.load(path, allow_pickle=False) as data:
        flat, offsets, shapes = data["flat"], data["offsets"], data["shapes"]
        classes, label = [str(name) for name in data["classes"]], data["label"]
    index = np.array([PATTERNS.index(name) if name in PATTERNS else -1 for name in classes])[label]
    chosen = np.flatnonzero(index >= 0)
    chosen = {"all": chosen, "even": chosen[::2], "odd": chosen[1::2]}[rows]
    images = render((flat[offsets[i] : offsets[i + 1]].reshape(shapes[i]) for i in chosen), Drawing(size=size))
    return images, index[chosen]


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help=".npz of real wafers")
    parser.add_argument("--wafers", type=int, default=8000, help="simulated wafers, as many of each class")
    parser.add_argument("--difficulty", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--rows", choices=("all", "even", "odd"), default="all", help="of the real wafers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    start = time.perf_counter()
    share = args.wafers // len(PATTERNS)
    maps, names, _ = simulate({name: share for name in PATTERNS}, args.seed, difficulty=args.difficulty)
    figure(f"{len(maps):,} wafers simulated", time.perf_counter() - start, "s")
    images = render(maps, Drawing(size=args.size))
    labels = np.array([PATTERNS.index(name) for name in names])
    start = time.perf_counter()
    model = train(images, labels, args)
    figure(f"training on them, {args.epochs} epochs", time.perf_counter() - start, "s")
    real, truth = real_wafers(args.real, args.size, args.rows)
    start = time.perf_counter()
    predicted = predict(model, real)
    figure(f"{len(real):,} real wafers named", time.perf_counter() - start, "s")
    for name, score in zip(PATTERNS, f1_score(truth, predicted, average=None, labels=range(8)), strict=True):
        figure(f"F1 of {name}", score, "")
    figure("accuracy", float(np.mean(truth == predicted)), "")
    figure("macro-F1", f1_score(truth, predicted, average="macro", labels=range(8)), "")
    print("confusion, rows true:", file=sys.stderr)
    print(confusion_matrix(truth, predicted, labels=range(8)), file=sys.stderr)


if __name__ == "__main__":
    main()
