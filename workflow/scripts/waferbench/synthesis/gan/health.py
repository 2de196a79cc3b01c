"""Has the training diverged? Checked every so many rounds, from numbers that are there anyway and a few images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

COLLAPSE = 0.05  # spread of the generated images below this fraction of the real images' is a collapse
MODES = 0.25  # as is a number of distinct images below this fraction of the real images'
COARSE = 8  # edge that images are averaged to before they are told apart: patterns count, single dies do not
ALIKE = 0.5  # of the usual distance of a real image to its nearest neighbour: nearer ones are one mode
COPY = 1e-3  # distance below which two images are the same
PROBE = 64  # images looked at, real and generated: distinct ones grow with the number
SATURATION = 0.01  # a discriminator loss below this tells the generator nothing about where real images lie
PATIENCE = 4  # checks in a row before a collapse or a saturation counts; non-finite numbers count at once
LEAST_SPREAD = 1e-3  # real images more alike than this (one wafer, say) cannot show a collapse


def spread(images: Tensor) -> float:
    """Mean over the pixels of the standard deviation over the images, float (B, ...) with B >= 2."""
    return float(images.float().flatten(1).std(0).mean()) if len(images) > 1 else 0.0


def distinct(images: Tensor, radius: float) -> float:
    """Effective number of modes among images, float (B, C, S, S): 1 of copies of one, B where all are different.

    Images join the first one before them that is no farther away and joined nobody; of the groups' shares p the
    number is 1 / sum(p^2), so that one large group and many single images count as few.

    Args:
        radius: of `usual_radius`.
    """
    apart = _distances(images)
    free = torch.ones(len(images), dtype=torch.bool)
    sizes = []
    for i in range(len(images)):
        if free[i]:
            group = free & (apart[i] <= radius)
            group[i] = True
            sizes.append(int(group.sum()))
            free &= ~group
    return len(images) ** 2 / sum(size**2 for size in sizes) if sizes else 0.0


def usual_radius(images: Tensor) -> float:
    """Distance within which two images are one mode: a part of the median distance to the nearest image unlike it.

    Args:
        images: real ones, float (B, C, S, S), as many as are looked at later. Copies of an image, as a few wafers drawn
            again and again hold, are passed over.
    """
    apart = _distances(images)
    unlike = torch.where(apart > COPY, apart, torch.inf).amin(1)
    unlike = unlike[unlike.isfinite()]
    return ALIKE * float(unlike.median()) if len(unlike) else 0.0


def _distances(images: Tensor) -> Tensor:
    """Euclidean distances of images averaged to `COARSE` squared, float (B, B) on the CPU."""
    coarse = adaptive_avg_pool2d(images.float(), min(COARSE, images.shape[-1])).flatten(1).cpu()
    return torch.cdist(coarse, coarse, compute_mode="donot_use_mm_for_euclid_dist")


@dataclass
class Health:
    """Counts the bad checks in a row of one training.

    Attributes:
        real_spread: `spread` of the real images, in the units of the generated ones.
        radius, real_distinct: `usual_radius` and `distinct` of the real images.
        collapsed, saturated: bad checks in a row up to now.
        finite: whether losses and weights were finite at the last check.
    """

    real_spread: float
    radius: float
    real_distinct: float
    collapsed: int = 0
    saturated: int = 0
    finite: bool = True

    @classmethod
    def beside(cls, real: Tensor) -> Health:
        """What generated images are compared with: `PROBE` real ones as the discriminator sees them, (B, C, S, S)."""
        radius = usual_radius(real)
        return cls(spread(real), radius, distinct(real, radius))

    def check(self, losses: Tensor, weights: Iterable[Tensor], generated: Tensor, last: bool = False) -> str:
        """Why the training has diverged, or "".

        Args:
            losses: float (rounds, k) since the last check, the discriminator's loss first.
            weights: the generator's.
            generated: float (`PROBE`, C, S, S) images.
            last: nothing follows, so a collapse counts without patience.
        """
        reason = self._not_finite(losses, weights)
        self.finite = not reason
        if reason:
            return reason
        reason = self._collapse(generated)
        self.collapsed = self.collapsed + 1 if reason else 0
        self.saturated = self.saturated + 1 if float(losses[:, 0].mean()) < SATURATION else 0
        if self.collapsed >= PATIENCE or (last and self.collapsed):
            return reason
        if self.saturated >= PATIENCE:
            return f"discriminator saturated: its mean loss stayed below {SATURATION}"
        return ""

    @staticmethod
    def _not_finite(losses: Tensor, weights: Iterable[Tensor]) -> str:
        if not bool(torch.isfinite(losses).all()):
            return "non-finite loss"
        if not all(bool(torch.isfinite(tensor).all()) for tensor in weights):
            return "non-finite generator weights"
        return ""

    def _collapse(self, generated: Tensor) -> str:
        """How generated images are more alike than real ones, or ""."""
        if self.real_spread <= LEAST_SPREAD:
            return ""
        if spread(generated) < COLLAPSE * self.real_spread:
            return f"collapse: generated images vary less than {COLLAPSE:.0%} as much as real ones"
        modes = distinct(generated, self.radius)
        if modes < MODES * self.real_distinct:
            return (
                f"collapse to few modes: {len(generated)} generated images hold {modes:.0f} distinct ones, as many "
                f"real ones {self.real_distinct:.0f}"
            )
        return ""

    @property
    def good(self) -> bool:
        """No bad check is pending, so these weights are worth keeping."""
        return not (self.collapsed or self.saturated)
