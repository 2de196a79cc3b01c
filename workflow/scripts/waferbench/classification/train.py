"""Training of one classifier: focal loss, AdamW, cosine schedule, best validation accuracy.

The images stay on the device as bytes; resizing, flips, rotations and normalisation happen there, a batch at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import param_groups_weight_decay
from timm.utils import ModelEmaV3
from torch import nn

from waferbench.base.errors import InputError
from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.classification.data import Split
from waferbench.learning.depthwise import speed_up_depthwise
from waferbench.learning.runtime import Checkpoint, HalvingBatches, autocast, memory_bound, seed_everything


@dataclass(frozen=True)
class Normaliser:
    """Bytes to a backbone's input: resized, three channels, (x - mean) / std.

    mean, std: of each channel, for values 0-1.
    size: edge of the input in pixels; None = as the images come.
    kind: ``bilinear`` or ``nearest`` resizing, the grey three times over; ``one_hot``: nearest, and a plane each for
        off-wafer, passing and failing dies.
    levels: grey of off-wafer, passing, failing.
    """

    mean: Sequence[float]
    std: Sequence[float]
    size: int | None = None
    kind: str = "bilinear"
    levels: Sequence[int] = (0, 128, 255)

    @property
    def mode(self) -> str:
        """How pixels between pixels are found: ``bilinear`` or ``nearest``."""
        return "bilinear" if self.kind == "bilinear" else "nearest"

    def resized(self, grey: torch.Tensor) -> torch.Tensor:
        """float (N, S, S) to float (N, size, size), with antialias where it shrinks."""
        if self.size in (None, grey.shape[-1]):
            return grey
        options = {"mode": "bilinear", "antialias": True} if self.mode == "bilinear" else {"mode": "nearest-exact"}
        return F.interpolate(grey[:, None], (self.size, self.size), **options)[:, 0]

    def __call__(self, grey: torch.Tensor) -> torch.Tensor:
        """float (N, S, S) of 0-255 to float (N, 3, size, size), channels last."""
        grey = self.resized(grey)[:, None]
        mean = torch.tensor(self.mean, device=grey.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=grey.device).view(1, 3, 1, 1)
        if self.kind == "one_hot":
            channels = (grey == torch.tensor(self.levels, device=grey.device).view(1, 3, 1, 1)).float()
        else:
            channels = grey / 255.0
        return ((channels - mean) / std).contiguous(memory_format=torch.channels_last)


def focal_loss(logits: torch.Tensor, target: torch.Tensor, gamma: float = 2.0) -> torch.Tensor:
    """Mean of -(1 - p)^gamma log p of the true class (Lin et al. 2017, eq. 4, without class weights).

    logits: float (N, K); target: int64 (N,). gamma 0 is cross-entropy.
    """
    log_p = F.log_softmax(logits.float(), dim=1).gather(1, target[:, None]).squeeze(1)
    return (-((1 - log_p.exp()) ** gamma) * log_p).mean()


def augment(
    grey: torch.Tensor,
    generator: torch.Generator,
    rotation: float,
    flip: bool,
    background: float = 0.0,
    mode: str = "bilinear",
) -> torch.Tensor:
    """Random flips (both axes, each with probability 1/2) and rotations within +-``rotation`` degrees.

    Args:
        grey: float (N, S, S), 0-255.
        generator: CPU generator, so that every device draws the same.
        background: what rotation brings in from outside.
        mode: ``bilinear`` or ``nearest``, which keeps the levels.
    """
    n = len(grey)
    angle = (torch.rand(n, generator=generator) * 2 - 1) * math.radians(rotation)
    mirror = torch.randint(0, 2, (n, 2), generator=generator) * 2.0 - 1.0
    if not flip:
        mirror = torch.ones(n, 2)
    if rotation == 0:
        turned = torch.where((mirror[:, 0] < 0).to(grey.device)[:, None, None], grey.flip(2), grey)
        return torch.where((mirror[:, 1] < 0).to(grey.device)[:, None, None], turned.flip(1), turned)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(n)
    theta = torch.stack(
        [
            torch.stack([cos * mirror[:, 0], -sin * mirror[:, 1], zero], 1),
            torch.stack([sin * mirror[:, 0], cos * mirror[:, 1], zero], 1),
        ],
        1,
    ).to(grey.device)
    grid = F.affine_grid(theta, [n, 1, *grey.shape[1:]], align_corners=False)
    # Zero padding stands for the background once that has been taken off.
    moved = F.grid_sample((grey - background)[:, None], grid, mode=mode, padding_mode="zeros", align_corners=False)
    return moved[:, 0] + background


def learning_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear warm-up over a fraction of the steps, then half a cosine down to zero."""
    rising = int(steps * warmup)
    if step < rising:
        return peak * (step + 1) / rising
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def train_classifier(
    model: nn.Module,
    normalise: Normaliser,
    train: Split,
    val: Split,
    settings: Mapping[str, Any],
    augmented: bool,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
) -> list[dict[str, float]]:
    """Train in place; the model ends with the weights of best validation accuracy (the latest of equals).

    Each epoch is seeded by its number alone, so a run resumed from ``checkpoint`` is bit-equal on the CPU.

    Args:
        settings: the ``classifier`` section: epochs, batch, lr, weight_decay, focal_gamma, warmup, rotation,
            flip, precision, ema, compile.
        augmented: flips and rotations, as the condition says.

    Returns:
        One row per epoch: epoch, loss, val_accuracy, lr (of its last step).
    """
    speed_up_depthwise(model).to(device, memory_format=torch.channels_last)
    groups = param_groups_weight_decay(model, settings["weight_decay"])
    optimizer = torch.optim.AdamW(groups, lr=settings["lr"], fused=device.type in ("cpu", "cuda"))
    scaler = torch.amp.GradScaler(device.type, enabled=settings["precision"] == "fp16")
    forward = torch.compile(model) if settings["compile"] else model
    average = ModelEmaV3(model, decay=settings["ema"], use_warmup=True) if settings["ema"] else None
    judged = average.module if average else model  # what validation chooses among
    images, labels = torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).to(device)
    val_images = torch.from_numpy(val.images).to(device)
    state = checkpoint.load()
    history: list[dict[str, float]] = []
    best: dict[str, torch.Tensor] = {}
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        if average:
            average.module.load_state_dict(state["average"])
        history, best = state["history"], state["best"]
    epochs, sizes = int(settings["epochs"]), _batch_sizes(len(train), int(settings["batch"]))
    steps = epochs * len(sizes)
    for epoch in progress(range(len(history), epochs), "classifier epochs"):
        seed_everything(derive_seed(seed, "classifier-epoch", epoch))
        generator = torch.Generator().manual_seed(derive_seed(seed, "classifier-order", epoch))
        order = torch.randperm(len(train), generator=generator)
        model.train()
        total, rate = torch.zeros((), device=device), 0.0
        for i, rows in enumerate(order[: sum(sizes)].split(sizes)):
            rate = learning_rate(epoch * len(sizes) + i, steps, settings["lr"], settings["warmup"])
            for group in optimizer.param_groups:
                group["lr"] = rate
            rows = rows.to(device)
            with memory_bound("classifier", f"lower classifier.batch ({settings['batch']}) or image_size"):
                grey = normalise.resized(images[rows].float())
                if augmented:
                    rotation, flip = settings["rotation"], settings["flip"]
                    grey = augment(grey, generator, rotation, flip, float(normalise.levels[0]), normalise.mode)
                with autocast(device, settings["precision"]):
                    logits = forward(normalise(grey))
                loss = focal_loss(logits, labels[rows], settings["focal_gamma"])
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
            if average:
                average.update(model, step=epoch * len(sizes) + i)
            total += loss.detach() * len(rows)
        if not torch.isfinite(total):
            raise InputError(
                f"classifier: the loss is not finite in epoch {epoch}; lower classifier.lr ({settings['lr']})"
            )
        accuracy = float((predict(judged, normalise, val_images, device, settings)[1].argmax(1) == val.labels).mean())
        if not history or accuracy >= max(row["val_accuracy"] for row in history):
            best = {name: tensor.detach().cpu().clone() for name, tensor in judged.state_dict().items()}
        history.append({"epoch": epoch, "loss": float(total) / sum(sizes), "val_accuracy": accuracy, "lr": rate})
        checkpoint.save(
            {
                "model": model.state_dict(),
                "average": average.module.state_dict() if average else None,
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "history": history,
                "best": best,
            }
        )
    model.load_state_dict(best)
    return history


def predict(
    model: nn.Module,
    normalise: Normaliser,
    images: np.ndarray | torch.Tensor,
    device: torch.device,
    settings: Mapping[str, Any],
    batch: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Penultimate features and class probabilities.

    Args:
        images: uint8 (N, S, S), on any device.

    Returns:
        float32 (N, D) ``forward_head(..., pre_logits=True)``, and float32 (N, K) softmax.
    """
    model.eval()
    images = torch.as_tensor(images)

    @torch.inference_mode()
    def some(rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        grey = images[torch.as_tensor(np.asarray(rows), device=images.device)].to(device).float()
        with autocast(device, settings["precision"]):
            maps = model.forward_features(normalise(grey))
            pooled, logits = model.forward_head(maps, pre_logits=True), model.forward_head(maps)
        return pooled.float().cpu().numpy(), logits.float().softmax(1).cpu().numpy()

    parts = HalvingBatches("classifier predictions", batch).run(some, [range(len(images))])
    features, probabilities = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(probabilities)


def _batch_sizes(n: int, batch: int) -> list[int]:
    """Sizes of the batches; a last one of a single image is left out, batch statistics need two."""
    sizes = [batch] * (n // batch) + ([n % batch] if n % batch > 1 else [])
    return sizes or [n]
