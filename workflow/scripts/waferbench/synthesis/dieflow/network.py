"""The network of a die flow: a UNet on die grids of any shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from waferbench.wafers.store import FAIL

HIDDEN = 3  # a die on the wafer that is not yet known, beside 0 off, 1 pass, 2 fail
PATCH = 2  # dies an edge that become one position of the first level
PLANES = 7  # four states, two coordinates and the radius


def padding(channels: Sequence[int]) -> int:
    """What rows and columns are padded to a multiple of."""
    return PATCH * 2 ** (len(channels) - 1)


class DieNet(nn.Module):
    """Logits of failing for each die.

    Args:
        labels: number of labels; a die flow's last one stands for none.
        channels: width of each level; every level but the last halves rows and columns.
    """

    def __init__(self, labels: int, channels: Sequence[int]):
        super().__init__()
        width = 2 * channels[0]
        self.label = nn.Embedding(labels, width)
        self.facts = nn.Sequential(nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width))
        self.stem = nn.Conv2d(PLANES * PATCH**2, channels[0], 3, padding=1)
        self.down = nn.ModuleList(_Block(c, c, width) for c in channels)
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in pairwise(channels))
        self.attention = _Attention(channels[-1])
        self.middle = _Block(channels[-1], channels[-1], width)
        self.widen = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(channels))
        self.up = nn.ModuleList(_Block(2 * c, c, width) for c in channels[:-1])
        self.head = nn.Sequential(_norm(channels[0]), nn.SiLU(), nn.Conv2d(channels[0], PATCH**2, 3, padding=1))

    def forward(self, dies: Tensor, shapes: Tensor, labels: Tensor) -> Tensor:
        """Logits float (B, H, W) of failing.

        Args:
            dies: int64 (B, H, W): 0 off-wafer or padding, 1 pass, 2 fail, 3 hidden; H and W multiples of `padding`.
            shapes: float (B, 2), rows and columns before padding.
            labels: int64 (B,), position of each wafer's label.
        """
        on = (dies > 0).flatten(1).sum(1).clamp(min=1)
        hidden = (dies == HIDDEN).flatten(1).sum(1) / on
        condition = self.label(labels) + self.facts(torch.cat([(shapes / 32).log2(), hidden[:, None]], 1))
        x = self.stem(F.pixel_unshuffle(_planes(dies, shapes), PATCH).contiguous(memory_format=torch.channels_last))
        skips = []
        for level, block in enumerate(self.down):
            x = block(x, condition)
            if level < len(self.narrow):
                skips.append(x)
                x = self.narrow[level](F.avg_pool2d(x, 2))
        x = self.middle(self.attention(x), condition)
        for level in reversed(range(len(skips))):
            x = F.interpolate(self.widen[level](x), scale_factor=2, mode="nearest")
            x = self.up[level](torch.cat([x, skips[level]], 1), condition)
        return F.pixel_shuffle(self.head(x), PATCH)[:, 0]


def _planes(dies: Tensor, shapes: Tensor) -> Tensor:
    """What the network sees, float (B, 7, H, W): one plane a state, and each die's place on the unit disc."""
    states = F.one_hot(dies, 4).permute(0, 3, 1, 2).float()
    rows = torch.arange(dies.shape[1], device=dies.device) + 0.5
    columns = torch.arange(dies.shape[2], device=dies.device) + 0.5
    y = (rows / shapes[:, :1] * 2 - 1)[:, :, None].expand(dies.shape)
    x = (columns / shapes[:, 1:] * 2 - 1)[:, None, :].expand(dies.shape)
    return torch.cat([states, torch.stack([y, x, torch.hypot(y, x)], 1)], 1)


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)


class _Block(nn.Module):
    """Two convolutions around a scale and shift by the condition, beside a shortcut; starts as the shortcut."""

    def __init__(self, inner: int, outer: int, width: int):
        super().__init__()
        self.first = nn.Sequential(_norm(inner), nn.SiLU(), nn.Conv2d(inner, outer, 3, padding=1))
        self.norm = _norm(outer)
        self.modulate = nn.Linear(width, 2 * outer)
        self.second = nn.Sequential(nn.SiLU(), nn.Conv2d(outer, outer, 3, padding=1))
        self.shortcut = nn.Identity() if inner == outer else nn.Conv2d(inner, outer, 1)
        nn.init.zeros_(self.second[1].weight)
        nn.init.zeros_(self.second[1].bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(F.silu(condition))[:, :, None, None].chunk(2, 1)
        return self.shortcut(x) + self.second(self.norm(self.first(x)) * (1 + scale) + shift)


class _Attention(nn.Module):
    """Self-attention among all positions of the last level: what is seen at one rim is known at the other."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm, self.heads = _norm(channels), math.gcd(channels, max(1, channels // 32))
        self.mix, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.mix(self.norm(x).flatten(2).transpose(1, 2))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in tokens.chunk(3, 2))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + self.out(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


def losses(logits: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Each wafer's mean cross-entropy over its hidden dies, float (B,), in nats a die.

    Its mean is the flow's bound where the hidden share s is uniform. Where it is 1 - u^2, of density
    1 / (2 sqrt(1 - s)), it is the bound reweighted towards wafers of which little is known: higher, and not to be
    compared with the other.

    Args:
        logits: float (B, H, W) of failing. truth: int64 (B, H, W) dies. hidden: bool (B, H, W).
    """
    each = F.binary_cross_entropy_with_logits(logits.float(), (truth == FAIL).float(), reduction="none")
    return (each * hidden).flatten(1).sum(1) / hidden.flatten(1).sum(1).clamp(min=1)
