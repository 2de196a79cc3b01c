"""Drawing wafer maps from a die flow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from waferbench.base.scope import Scope
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import DieFlowSampling
from waferbench.learning.runtime import HalvingBatches, autocast
from waferbench.synthesis.dieflow.network import HIDDEN, DieNet, padding
from waferbench.synthesis.dieflow.train import by_padded_shape, shapes_of, stack
from waferbench.wafers.store import FAIL, PASS
from waferbench.wafers.symmetries import COUNT, under_symmetry


class Sampler:
    """Draws maps on the die grids of given wafers.

    Args:
        state: weights of `waferbench.synthesis.dieflow.train.train_die_flow`.
        grids: label -> wafer maps uint8 (rows, columns) whose grids its samples get, each as likely as the other, in
            the order of the network's classes. What passed and failed on them is not looked at.
        settings: of the source.
        seed, scope: with the label and a sample's position they decide its grid and its random numbers.
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
        self.grids, self.settings, self.seed, self.scope, self.device = grids, settings, seed, scope, device
        self.network = DieNet(len(grids), settings.channels)
        self.network.load_state_dict(dict(state))
        self.network.to(device, memory_format=torch.channels_last).eval()
        self.batches = HalvingBatches(f"die flow sample {scope}", settings.sample_batch)

    def draw(self, label: str, start: int, stop: int) -> list[np.ndarray]:
        """Maps ``start`` to ``stop - 1`` of a label's endless sequence, uint8 (rows, columns) of 0 off, 1 pass, 2 fail.

        Map i depends on the batch it is drawn in only by rounding: where a die's random number falls within it.
        """
        plans = [self._plan(label, i) for i in range(start, stop)]
        groups = by_padded_shape((dies for dies, _, _ in plans), padding(self.settings.channels))
        drawn: dict[int, np.ndarray] = {}

        def some(chosen: Sequence[int]) -> None:
            drawn.update(zip(chosen, self._reveal([plans[i] for i in chosen], label), strict=True))

        self.batches.run(some, groups.values())
        return [drawn[i] for i in range(len(plans))]

    def _plan(self, label: str, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A grid of hidden dies, the order in which they are revealed, and the number each is compared with."""
        random = np.random.default_rng(derive_seed(self.seed, "die flow", label, self.scope, index))
        wafer = self.grids[label][random.integers(len(self.grids[label]))]
        symmetry = int(random.integers(COUNT)) if self.settings.augment else 0
        dies = under_symmetry(np.where(wafer > 0, HIDDEN, 0), symmetry)
        order, threshold = random.random((2, *dies.shape), dtype=np.float32)
        return dies, order, threshold

    @torch.inference_mode()
    def _reveal(self, plans: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], label: str) -> list[np.ndarray]:
        multiple, steps = padding(self.settings.channels), self.settings.sampler_steps
        dies, order, threshold = (stack(part, multiple).to(self.device) for part in zip(*plans, strict=True))
        shapes = shapes_of([plan[0] for plan in plans]).to(self.device)
        labels = torch.full((len(plans),), list(self.grids).index(label), device=self.device)
        for step in range(1, steps + 1):
            with autocast(self.device, self.settings.precision):
                fails = self.network(dies, shapes, labels).float().sigmoid()
            # few dies at first, while the pattern is open, many once it is settled; all of them in the last step
            due = 1.0 if step == steps else 1 - math.cos(math.pi / 2 * step / steps)
            now = (dies == HIDDEN) & (order < due)
            dies = torch.where(now, torch.where(threshold < fails, FAIL, PASS), dies)
        flat = dies.to(torch.uint8).cpu().numpy()
        return [flat[i, : plan[0].shape[0], : plan[0].shape[1]].copy() for i, plan in enumerate(plans)]
