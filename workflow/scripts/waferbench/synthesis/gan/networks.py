"""Generator and discriminator of TS-HingeGAN, and the way from grey images to theirs and back.

Published: latent 128, a fully connected layer to 4x4x512, four nearest-neighbour x2 blocks, 64x64x3 out; a
discriminator of five convolutions, spectral normalisation (Miyato et al. 2018, arXiv:1802.05957) on each. The
paper gives no widths beyond the first, no normalisation of the generator, no activations: those are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from waferbench.config.synthesis.sources import Gan, GanSampling

SEED_EDGE = 4  # pixels of the generator's first feature map, and of the discriminator's last


def _up(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.Conv2d(width_in, width_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class Generator(nn.Module):
    """Latents float (B, latent) to images float (B, 3, S, S) in [-1, 1], S = 4 * 2 ** (len(channels) - 1)."""

    def __init__(self, latent: int = 128, channels: Sequence[int] = (512, 256, 128, 64, 32)):
        super().__init__()
        self.latent = latent
        self.project = nn.Linear(latent, SEED_EDGE**2 * channels[0])
        self.blocks = nn.Sequential(*(_up(a, b) for a, b in pairwise(channels)))
        self.to_image = nn.Conv2d(channels[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.project(z).unflatten(1, (-1, SEED_EDGE, SEED_EDGE)).contiguous(memory_format=torch.channels_last)
        return torch.tanh(self.to_image(self.blocks(x)))


class Discriminator(nn.Module):
    """Images float (B, 3, S, S) in [-1, 1] to scores float (B,), S = 4 * 2 ** len(channels)."""

    def __init__(self, channels: Sequence[int] = (64, 128, 256, 512)):
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise((3, *channels)):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)), nn.LeakyReLU(0.1, inplace=True)]
        layers.append(spectral_norm(nn.Conv2d(channels[-1], 1, SEED_EDGE)))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        with parametrize.cached():
            with torch.autocast(images.device.type, enabled=False):  # the power iteration needs all its digits
                _ = [layer.weight for layer in self.layers[::2]]
            return self.layers(images).flatten()


def build_generator(settings: GanSampling, device: torch.device) -> Generator:
    """The generator of these settings; its weights come from torch's global seed."""
    model = Generator(settings.latent, settings.generator_channels)
    return model.to(device, memory_format=torch.channels_last)


def build_discriminator(settings: Gan, device: torch.device) -> Discriminator:
    """The discriminator of these settings; its weights come from torch's global seed."""
    return Discriminator(settings.discriminator_channels).to(device, memory_format=torch.channels_last)


def from_grey(images: Tensor) -> Tensor:
    """uint8 (B, S, S) grey to float (B, 3, S, S) in [-1, 1]: the grey tiled to three channels."""
    return images[:, None].expand(-1, 3, -1, -1).float().div_(127.5).sub_(1)


def to_grey(images: Tensor) -> Tensor:
    """Float (B, 3, S, S) in [-1, 1] to uint8 (B, S, S) grey: the mean of the channels."""
    return images.float().mean(1).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
