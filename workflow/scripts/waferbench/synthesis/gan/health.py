"""Has the training diverged? Checked every so many rounds, from numbers that are there anyway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

COLLAPSE = 0.05  # spread of the generated images below this fraction of the real images' is a collapse
SATURATION = 0.01  # a discriminator loss below this tells the generator nothing about where real images lie
PATIENCE = 4  # checks in a row before a collapse or a saturation counts; non-finite numbers count at once
LEAST_SPREAD = 1e-3  # real images more alike than this (one wafer, say) cannot show a collapse


def spread(images: Tensor) -> float:
    """Mean over the pixels of the standard deviation over the images, float (B, ...) with B >= 2."""
    return float(images.float().flatten(1).std(0).mean()) if len(images) > 1 else 0.0


@dataclass
class Health:
    """Counts the bad checks in a row of one training.

    Attributes:
        real_spread: `spread` of the real images, in the units of the generated ones.
        collapsed, saturated: bad checks in a row up to now.
    """

    real_spread: float
    collapsed: int = 0
    saturated: int = 0

    def check(self, losses: Tensor, weights: Iterable[Tensor], generated: Tensor, last: bool = False) -> str:
        """Why the training has diverged, or "".

        Args:
            losses: float (rounds, k) since the last check, the discriminator's loss first.
            weights: the generator's.
            generated: float (B, ...) images.
            last: nothing follows, so a collapse counts without patience.
        """
        if not bool(torch.isfinite(losses).all()):
            return "non-finite loss"
        if not all(bool(torch.isfinite(tensor).all()) for tensor in weights):
            return "non-finite generator weights"
        flat = self.real_spread > LEAST_SPREAD and spread(generated) < COLLAPSE * self.real_spread
        self.collapsed = self.collapsed + 1 if flat else 0
        self.saturated = self.saturated + 1 if float(losses[:, 0].mean()) < SATURATION else 0
        if self.collapsed >= PATIENCE or (last and self.collapsed):
            return f"collapse: generated images vary less than {COLLAPSE:.0%} as much as real ones"
        if self.saturated >= PATIENCE:
            return f"discriminator saturated: its mean loss stayed below {SATURATION}"
        return ""

    @property
    def good(self) -> bool:
        """No bad check is pending, so these weights are worth keeping."""
        return not (self.collapsed or self.saturated)
