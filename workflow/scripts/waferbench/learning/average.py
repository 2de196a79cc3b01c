"""Weights averaged over a training (exponential moving average), for every network alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def warmed_up(decay: float, step: int) -> float:
    """Decay of averaged weights after a step: less at first, else a short training's average would be its start."""
    return min(decay, (1 + step) / (10 + step))


class Average:
    """Averages of some values that a training changes, beside them.

    Args:
        values: parameters, batch statistics, by name; they are read, never changed, until `take`.
        decay: 0 = no average at all: every method does nothing.
    """

    def __init__(self, values: Mapping[str, Tensor], decay: float):
        self.values, self.decay = values, decay
        self.means = {name: value.detach().clone() for name, value in values.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the values, after step 1, 2, ..."""
        decay = warmed_up(self.decay, step)
        for name, mean in self.means.items():
            mean.lerp_(self.values[name].detach(), 1 - decay)

    @torch.no_grad()
    def take(self) -> None:
        """Replace the values by their averages, where there are any."""
        for name, mean in self.means.items():
            self.values[name].copy_(mean)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by name."""
        return self.means

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state_dict`."""
        for name, mean in self.means.items():
            mean.copy_(state[name])
