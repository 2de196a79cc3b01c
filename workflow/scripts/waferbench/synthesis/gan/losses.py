"""Hinge adversarial losses (Lim & Ye 2017, arXiv:1705.02894)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """``E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))]`` of two float (B,) score vectors; a scalar >= 0."""
    return relu(1 - real).mean() + relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """``-E[D(G(z))]`` of a float (B,) score vector; an unbounded scalar."""
    return -fake.mean()
