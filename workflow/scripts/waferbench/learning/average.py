"""Weights averaged over a training (exponential moving average), for every network alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def warmed_up(decay: float, step: int) -> float:
    """Decay of averaged weights after a step: less at first, else a short training's average would be its start."""
    return min(decay, (1 + step) / (10 + step))


class Average:
    """Averages of some parameters, beside them.

    Args:
        parameters: by name; they are read, never changed, until `take`.
        decay: 0 = no average at all: every method does nothing.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float):
        self.parameters, self.decay = parameters, decay
        self.values = {name: value.detach().clone() for name, value in parameters.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the parameters, after step 1, 2, ..."""
        decay = warmed_up(self.decay, step)
        for name, mean in self.values.items():
            mean.lerp_(self.parameters[name].detach(), 1 - decay)

    @torch.no_grad()
    def take(self) -> None:
        """Replace the parameters by their averages, where there are any."""
        for name, mean in self.values.items():
            self.parameters[name].copy_(mean)

    def state_dict(self) -> dict[str, Tensor]:
        """The averages by name."""
        return self.values

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state_dict`."""
        for name, mean in self.values.items():
            mean.copy_(state[name])
