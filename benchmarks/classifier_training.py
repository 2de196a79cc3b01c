"""Training of a classifier against a plain PyTorch loop over a DataLoader: same network, loss, optimizer, images.

python benchmarks/classifier_training.py --images 1024 --size 64 --batch 64
The plain loop: a Dataset of PIL images, torchvision's transforms on them (three channels, resize, two flips, rotation,
tensor, normalise), with and without worker processes; the better of both counts. Both loops validate after each epoch,
and compute in the same precision. Each runs in a process of its own, ours set up as the workflow's jobs are.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from common import best_of, figure, say_device

from waferbench.engine.process import prepare

os.environ["GOMP_SPINCOUNT"] = "1000"  # before torch, as in the workflow's jobs: else all is slow beside other work
if "--way=ours" in sys.argv:
    prepare(object())

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from waferbench.classification.data import Split
from waferbench.classification.train import Normaliser, focal_loss, train_classifier
from waferbench.config.classification import Augmentation, ClassifierTraining
from waferbench.config.study import Drawing
from waferbench.learning.backbones import create_backbone
from waferbench.learning.runtime import Checkpoint, autocast
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import CLASSES, simulate

AUGMENTATION = Augmentation()


class PlainImages(Dataset):
    """PIL images and their classes."""

    def __init__(self, split: Split, transform: Callable):
        self.images = [Image.fromarray(image) for image in split.images]
        self.labels, self.transform = split.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def simulated(count: int, size: int, seed: int) -> Split:
    """Images of all classes alike, in random order."""
    maps, names, _ = simulate({name: -(-count // len(CLASSES)) for name in CLASSES}, seed)
    order = np.random.default_rng(seed).permutation(len(maps))[:count]
    labels = np.array([CLASSES.index(names[i]) for i in order], np.int64)
    return Split(render([maps[i] for i in order], Drawing(size=size)), labels, order.astype(str))


def plain_loop(
    model: torch.nn.Module,
    mean: tuple,
    std: tuple,
    splits: tuple[Split, Split],
    size: int,
    settings: ClassifierTraining,
    workers: int,
    device: torch.device,
) -> None:
    """What a tutorial would write."""
    turned = [
        transforms.RandomHorizontalFlip(),
        transforms.RandomVerticalFlip(),
        transforms.RandomRotation(AUGMENTATION.rotation),
    ]
    start = [transforms.Grayscale(3), transforms.Resize((size, size))]
    end = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    train, val = (
        DataLoader(
            PlainImages(split, transforms.Compose([*start, *middle, *end])),
            settings.batch,
            shuffle=bool(middle),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )
        for split, middle in zip(splits, (turned, []), strict=True)
    )
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * len(train))
    scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "fp16")
    for _ in range(settings.epochs):
        model.train()
        for images, labels in train:
            with autocast(device, settings.precision):
                logits = model(images.to(device))
            loss = focal_loss(logits, labels.to(device), settings.focal_gamma)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
        model.eval()
        with torch.no_grad(), autocast(device, settings.precision):
            hits = sum(int((model(images.to(device)).argmax(1).cpu() == labels).sum()) for images, labels in val)
    assert 0 <= hits <= len(splits[1])


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="tf_efficientnet_lite0")
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--validation", type=int, default=256)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", default="float32", choices=["auto", "float32", "bf16", "fp16"])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of the plain loop")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--way", help="for the processes that this one starts: ours, or the plain loop's workers")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.way:
        seconds, memory = train(args)
        print(seconds, memory)
        return
    say_device()
    ways = {way: [] for way in ("ours", *map(str, args.workers))}
    for _ in range(args.repeats):  # in turns: what else runs on the machine then meets all of them
        for way, runs in ways.items():
            command = [sys.executable, __file__, *sys.argv[1:], f"--way={way}"]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs.append([float(word) for word in done.stdout.split()])
    fast, memory = (min(column) for column in zip(*ways.pop("ours"), strict=True))
    seen = args.epochs * args.images
    what = f"training of {args.network}, {args.size} px, batch {args.batch}, {args.precision}"
    for workers, runs in ways.items():
        slow, other = (min(column) for column in zip(*runs, strict=True))
        figure(what, seen / fast, "images/s", seen / slow, f"a DataLoader loop with {workers} workers")
        figure(f"{what}, peak memory", memory, "MB", other, f"a DataLoader loop with {workers} workers")


def train(args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of one training, one way, and the process's peak memory in MB."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = ClassifierTraining(image_size=args.size, batch=args.batch, epochs=args.epochs, precision=args.precision)
    splits = (simulated(args.images, args.size, 0), simulated(args.validation, args.size, 1))

    def network() -> tuple[torch.nn.Module, tuple, tuple]:
        torch.manual_seed(0)
        return create_backbone(args.network, len(CLASSES), False, image_size=args.size)

    def ours() -> None:
        model, mean, std = network()
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = Checkpoint(Path(folder))
            train_classifier(model, Normaliser(mean, std), *splits, settings, AUGMENTATION, 0, device, checkpoint)

    def plain(workers: int) -> None:
        plain_loop(*network(), splits, args.size, settings, workers, device)

    seconds = best_of(1, ours if args.way == "ours" else lambda: plain(int(args.way)))[0]
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
