"""Drawing wafer maps of a class from a frozen base and the class's adapter."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from waferbench.base.scope import Scope
from waferbench.config.synthesis.sources import DieLoraSampling
from waferbench.synthesis.dieflow.network import DieNet
from waferbench.synthesis.dieflow.reveal import Drawer, guided
from waferbench.synthesis.dielora.adapters import adapted
from waferbench.synthesis.dielora.base import one_label


class Sampler:
    """Draws maps of each label on the die grids of given wafers.

    Args:
        base: frozen, on the device to draw on.
        adapters: label -> adapter of `waferbench.synthesis.dielora.adapters.train_adapters`.
        grids: label -> wafer maps uint8 (rows, columns) whose grids its samples get.
        settings: of the source.
        seed, scope: decide, with the label and a sample's position, its grid and its random numbers.
    """

    def __init__(
        self,
        base: DieNet,
        adapters: Mapping[str, Mapping[str, Tensor]],
        grids: Mapping[str, Sequence[np.ndarray]],
        settings: DieLoraSampling,
        seed: int,
        scope: Scope,
    ):
        self.base, self.adapters, self.settings = base, adapters, settings
        self.of_class, self.label = copy.deepcopy(base), ""
        self.device = base.label.weight.device
        self.draw = Drawer("die lora", self.logits, grids, settings, seed, scope, self.device).draw

    def logits(self, dies: Tensor, shapes: Tensor, label: str, weight: float) -> Tensor:
        """Logits (B, H, W) of failing, guided from the frozen base towards the class: two looks, or one at weight 1."""
        self._put_in(label)
        known = self.of_class(dies, shapes, one_label(dies))
        return known if weight == 1 else guided(known, self.base(dies, shapes, one_label(dies)), weight)

    @torch.no_grad()
    def _put_in(self, label: str) -> None:
        """The label's adapter into the network beside the base; the weights of another are all replaced."""
        if label == self.label:
            return
        adapter = {name: value.to(self.device) for name, value in self.adapters[label].items()}
        parameters = dict(self.of_class.named_parameters())
        for name, value in adapted(self.base, adapter, self.settings.alpha).items():
            parameters[name].copy_(value)
        self.label = label
