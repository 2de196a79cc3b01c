"""Training of one classifier: focal loss, AdamW, cosine schedule, best validation accuracy; and what it says of wafers.

The images stay on the device as bytes; resizing, flips, rotations and normalisation happen there, a batch at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import param_groups_weight_decay
from torch import nn

from waferbench.classification.data import Split
from waferbench.config.classification import Augmentation, ClassifierTraining
from waferbench.learning.depthwise import speed_up_depthwise
from waferbench.learning.looks import Plan, fit_steps, steps_of_epochs
from waferbench.learning.runtime import Checkpoint, HalvingBatches, autocast
from waferbench.learning.schedule import warmup_cosine


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
    augmentation: Augmentation,
    background: float = 0.0,
    mode: str = "bilinear",
) -> torch.Tensor:
    """Random flips (both axes, each with probability 1/2) and rotations, as far as an augmenting condition does them.

    Args:
        grey: float (N, S, S), 0-255.
        generator: CPU generator, so that every device draws the same.
        augmentation: the largest rotation in degrees, to either side, and whether there are flips.
        background: what rotation brings in from outside.
        mode: ``bilinear`` or ``nearest``, which keeps the levels.
    """
    n = len(grey)
    angle = (torch.rand(n, generator=generator) * 2 - 1) * math.radians(augmentation.rotation)
    mirror = torch.randint(0, 2, (n, 2), generator=generator) * 2.0 - 1.0
    if not augmentation.flip:
        mirror = torch.ones(n, 2)
    if augmentation.rotation == 0:
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


def train_classifier(
    model: nn.Module,
    normalise: Normaliser,
    train: Split,
    val: Split,
    settings: ClassifierTraining,
    augmentation: Augmentation | None,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
) -> list[dict[str, float]]:
    """Train in place; the model ends with the weights of best validation accuracy (the latest of equals).

    All that is compared takes ``settings.steps`` steps of whole batches and ``settings.looks`` looks at validation,
    whatever it is trained on; ``settings.epochs`` instead takes passes over ``train``, a look each. A run resumed from
    ``checkpoint`` is bit-equal on the CPU.

    Args:
        augmentation: None where the condition does not augment.

    Returns:
        One row per look: step (done by then), loss, val_accuracy, lr (of the last step).

    Raises:
        InputError: the loss is no longer finite, or the GPU's memory does not hold a batch.
    """
    speed_up_depthwise(model).to(device, memory_format=torch.channels_last)
    groups = param_groups_weight_decay(model, settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=device.type in ("cpu", "cuda"))
    forward = torch.compile(model) if settings.compile else model
    images, labels = torch.from_numpy(train.images).to(device), torch.from_numpy(train.labels).to(device)
    val_images = torch.from_numpy(val.images).to(device)

    def loss_of(rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        grey = normalise.resized(images[rows].float())
        if augmentation is not None:
            grey = augment(grey, generator, augmentation, float(normalise.levels[0]), normalise.mode)
        with autocast(device, settings.precision):
            logits = forward(normalise(grey))
        return focal_loss(logits, labels[rows], settings.focal_gamma)

    def accuracy(judged: nn.Module) -> float:
        probabilities = predict(judged, normalise, val_images, device, settings.precision)[1]
        return float((probabilities.argmax(1) == val.labels).mean())

    n, batch, epochs = len(train), settings.batch, settings.epochs
    plan = Plan(
        n=n,
        batch=batch,
        steps=steps_of_epochs(n, batch, epochs) if epochs else settings.steps,
        looks=epochs or settings.looks,
        schedule=lambda step, steps: warmup_cosine(step, steps, int(steps * settings.warmup)),
        ema=settings.ema,
        scaled=settings.precision == "fp16",
        if_not_finite=f"lower classifier.lr ({settings.lr})",
        if_too_large=f"lower classifier.batch ({batch}) or image_size",
    )
    return fit_steps("classifier", model, loss_of, accuracy, plan, optimizer, seed, checkpoint)


def unseen_wafers(settings: ClassifierTraining, n: int) -> str:
    """A warning where training ends before each of ``n`` training wafers was seen once; else ""."""
    seen = settings.steps * settings.batch
    if settings.epochs or seen >= n:
        return ""
    return (
        f"{settings.steps} steps of {settings.batch} wafers are {seen / n:.2f} passes over the {n} training wafers, so "
        f"that some are never seen; raise classifier.steps to {math.ceil(n / settings.batch)} or more"
    )


def predict(
    model: nn.Module,
    normalise: Normaliser,
    images: np.ndarray | torch.Tensor,
    device: torch.device,
    precision: str,
    batch: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Penultimate features and class probabilities.

    Args:
        images: uint8 (N, S, S), on any device.
        precision: ``auto``, ``float32``, ``bf16`` or ``fp16``, see `waferbench.learning.runtime.autocast`.

    Returns:
        float32 (N, D) ``forward_head(..., pre_logits=True)``, and float32 (N, K) softmax.
    """
    model.eval()
    images = torch.as_tensor(images)

    @torch.inference_mode()
    def some(rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        grey = images[torch.as_tensor(np.asarray(rows), device=images.device)].to(device).float()
        with autocast(device, precision):
            maps = model.forward_features(normalise(grey))
            pooled, logits = model.forward_head(maps, pre_logits=True), model.forward_head(maps)
        return pooled.float().cpu().numpy(), logits.float().softmax(1).cpu().numpy()

    parts = HalvingBatches("classifier predictions", batch).run(some, [range(len(images))])
    features, probabilities = zip(*parts, strict=True)
    return np.concatenate(features), np.concatenate(probabilities)
