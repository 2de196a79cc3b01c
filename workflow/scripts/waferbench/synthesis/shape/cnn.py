"""The small convolutional net that tells rendered wafers from corrupted ones (paper, section on the shape filter).

It sees the silhouette with its grey edge (passing and failing dies alike), so that it judges the shape
and not the defect pattern.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.settings import ShapeNetSettings
from waferbench.learning.runtime import HalvingBatches, seed_everything
from waferbench.synthesis.shape.corruptions import corrupt_any
from waferbench.wafers.symmetries import COUNT, under_symmetry


class ShapeNet(nn.Module):
    """Strided 3x3 convolutions and one linear layer on the flattened map: position matters here.

    Args:
        size: edge of the input in pixels, a multiple of 2 ** len(channels).
        channels: width of each convolution.
    """

    def __init__(self, size: int, channels: Sequence[int]):
        super().__init__()
        layers: list[nn.Module] = []
        for inner, outer in zip([1, *channels[:-1]], channels, strict=True):
            layers += [nn.Conv2d(inner, outer, 3, stride=2, padding=1), nn.GroupNorm(1, outer), nn.ReLU()]
        self.size = size
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels[-1] * (-(-size // 2 ** len(channels))) ** 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B,), higher is rounder, of silhouettes (B, 1, size, size) in 0-1."""
        return self.head(self.features(x).flatten(1)).squeeze(1)


def soft_silhouette(images: np.ndarray, size: int, pass_level: float) -> torch.Tensor:
    """Images as float32 (N, 1, size, size): 0 background, 1 any die, greys of the rim between."""
    x = torch.from_numpy(np.minimum(images.astype(np.float32) / pass_level, 1))[:, None]
    return x if x.shape[-1] == size else F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)


def fit_shape_net(
    images: np.ndarray, settings: ShapeNetSettings, pass_level: float, seed: int, device: torch.device
) -> ShapeNet:
    """Train the net: half of each batch real wafers, half corruptions of them.

    The training takes seconds, so that it keeps no checkpoint.

    Args:
        images: uint8 (N, S, S) of real rendered wafers.
        settings: the section ``shape_filter.cnn``.
        pass_level: grey of a passing die.
    """
    seed_everything(derive_seed(seed, "shape net"))
    rng = np.random.default_rng(derive_seed(seed, "shape corruptions"))
    net = ShapeNet(settings.size, settings.channels).to(device).train()
    steps, half = settings.steps, max(1, settings.batch // 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=max(2, steps))
    target = torch.cat([torch.ones(half), torch.zeros(half)]).to(device)
    for _ in progress(range(steps), "shape net"):
        good = _symmetries(images[rng.integers(len(images), size=half)], rng)
        bad = corrupt_any(images[rng.integers(len(images), size=half)], rng)
        x = soft_silhouette(np.concatenate([good, bad]), net.size, pass_level).to(device)
        loss = F.binary_cross_entropy_with_logits(net(x), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.inference_mode()
def shape_logits(net: ShapeNet, images: np.ndarray, pass_level: float, batch: int = 512) -> np.ndarray:
    """Logits of the net, higher is rounder; float64 (N,)."""
    target = next(net.parameters()).device

    def some(rows: Sequence[int]) -> np.ndarray:
        return net(soft_silhouette(images[np.asarray(rows)], net.size, pass_level).to(target)).cpu().numpy()

    parts = HalvingBatches("shape net", batch).run(some, [range(len(images))])
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def _symmetries(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image under one of the square's eight symmetries."""
    drawn = rng.integers(COUNT, size=len(images))
    return np.stack([under_symmetry(image, symmetry) for image, symmetry in zip(images, drawn, strict=True)])
