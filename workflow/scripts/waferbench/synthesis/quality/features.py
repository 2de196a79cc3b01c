"""Feature networks: images in, pooled features out, resized the clean way.

Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", 2022: bicubic with antialias in
float, no rounding to bytes, clipped to 0-255.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from waferbench.base.errors import InputError
from waferbench.config.stages import WeightSearch
from waferbench.learning.backbones import create_backbone, find_weights
from waferbench.learning.runtime import HalvingBatches

INCEPTION = "inception_v3"
INCEPTION_SIZE = 299


def clean_resize(images: torch.Tensor, size: int) -> torch.Tensor:
    """Bicubic with antialias in float, clipped to 0-255; (N, C, H, W) to float32 (N, C, size, size)."""
    x = images.float()
    if x.shape[-2:] != (size, size):
        x = F.interpolate(x, size=(size, size), mode="bicubic", antialias=True)
    return x.clamp(0, 255)


class Features:
    """A frozen network that turns grey images into pooled features.

    Args:
        network: a backbone name; ``inception_v3``, the TorchScript file of the FID literature; or
            ``backbone@condition``, a classifier of the study, whose features are those of wafers.
        image_size: edge of the network's input in pixels.
        weights: where the network's are looked for; None: only what is installed or once downloaded.
        trained: the classifier's weights, for ``backbone@condition``.

    Raises:
        InputError: weights missing, or Inception at another size than its own.
    """

    def __init__(
        self,
        network: str,
        image_size: int,
        weights: WeightSearch | None = None,
        device: torch.device | str = "cpu",
        trained: Mapping[str, torch.Tensor] | None = None,
    ):
        self.name, self.image_size, self.device = network, image_size, torch.device(device)
        self.is_inception = network == INCEPTION
        if self.is_inception:
            self._net, mean, std = _inception(image_size, weights), (128 / 255,) * 3, (128 / 255,) * 3
        else:
            self._net, mean, std = create_backbone(
                network.partition("@")[0],
                num_classes=0,
                pretrained=trained is None,
                weights=weights,
                image_size=image_size,
            )
            if trained is not None:
                head = set(trained) - set(self._net.state_dict())  # a classifier's last layer has no place here
                self._net.load_state_dict({name: value for name, value in trained.items() if name not in head})
        self._net = self._net.eval().to(self.device, memory_format=torch.channels_last)
        self._mean = torch.tensor(mean, device=self.device).view(1, -1, 1, 1) * 255
        self._std = torch.tensor(std, device=self.device).view(1, -1, 1, 1) * 255

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, batch: int = 64) -> np.ndarray:
        """Features float32 (N, D) of uint8 grey images (N, S, S)."""

        def some(rows: Sequence[int]) -> np.ndarray:
            grey = torch.from_numpy(images[np.asarray(rows)]).to(self.device)[:, None]
            return self.of_resized(clean_resize(grey, self.image_size)).cpu().numpy()

        parts = HalvingBatches(f"features by {self.name}", batch).run(some, [range(len(images))])
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    @torch.inference_mode()
    def of_resized(self, x: torch.Tensor) -> torch.Tensor:
        """Features float32 (B, D) of greys 0-255 at the network's size, float (B, 1 or 3, image_size, image_size)."""
        x = ((x - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        return (self._net.layers(x) if self.is_inception else self._net(x)).flatten(1).float()


def find_inception(image_size: int, weights: WeightSearch | None) -> Path:
    """Inception's TorchScript file by the manifest; `InputError` where there is none, or at another input size."""
    if image_size != INCEPTION_SIZE:
        raise InputError(f"quality.image_size: {image_size}, but {INCEPTION} takes {INCEPTION_SIZE}; set it to that")
    path, source = find_weights(INCEPTION, weights)
    if source["file"] == f"{INCEPTION}.safetensors":  # TorchScript is a program: only the file of the manifest is run
        raise InputError(
            f"{path}: {INCEPTION} is read from the file that resources/weights.yaml names; remove this one"
        )
    return path


def _inception(image_size: int, weights: WeightSearch | None) -> nn.Module:
    return torch.jit.load(str(find_inception(image_size, weights)), map_location="cpu")
