"""Drawing wafer maps from a die flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from waferbench.base.scope import Scope
from waferbench.config.synthesis.sources import DieFlowSampling
from waferbench.synthesis.dieflow.network import DieNet
from waferbench.synthesis.dieflow.reveal import Drawer, guided


class Sampler:
    """Draws maps of each label on the die grids of given wafers.

    Args:
        state: weights of `waferbench.synthesis.dieflow.train.train_die_flow`.
        grids: label -> wafer maps uint8 (rows, columns) whose grids its samples get, in the order of the network's
            labels.
        settings: of the source.
        seed, scope: decide, with the label and a sample's position, its grid and its random numbers.
    """

    def __init__(
        self,
        state: Mapping[str, Tensor],
        grids: Mapping[str, Sequence[np.ndarray]],
        settings: DieFlowSampling,
        seed: int,
        scope: Scope,
        device: torch.device,
    ):
        self.labels = list(grids)
        self.network = DieNet(len(grids) + 1, settings.channels)
        self.network.load_state_dict(dict(state))
        self.network.to(device, memory_format=torch.channels_last).eval()
        self.draw = Drawer("die flow", self.logits, grids, settings, seed, scope, device).draw

    def logits(self, dies: Tensor, shapes: Tensor, label: str, weight: float) -> Tensor:
        """Logits (B, H, W) of failing, guided from no label towards one: one look each, or one where weight is 1."""
        told = torch.full((len(dies),), self.labels.index(label), device=dies.device)
        if weight == 1:
            return self.network(dies, shapes, told)
        both = torch.cat([told, torch.full_like(told, len(self.labels))])
        pair = self.network(dies.repeat(2, 1, 1), shapes.repeat(2, 1), both)
        return guided(*pair.chunk(2), weight)
