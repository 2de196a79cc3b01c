"""Drawing wafer maps by revealing hidden dies a few at a time, whatever network says how likely each is to fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from waferbench.base.scope import Scope
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import DieFlowSampling
from waferbench.learning.runtime import HalvingBatches, autocast
from waferbench.synthesis.dieflow.network import HIDDEN, padding
from waferbench.synthesis.dieflow.train import by_padded_shape, shapes_of, stack
from waferbench.wafers.store import FAIL, PASS
from waferbench.wafers.symmetries import COUNT, under_symmetry

Logits = Callable[[Tensor, Tensor, str, float], Tensor]
"""Dies int64 (B, H, W), shapes float (B, 2), the label of all and the guidance's weight -> logits (B, H, W) of failing.
"""


def guided(labelled: Tensor, unlabelled: Tensor, weight: float) -> Tensor:
    """Logits without a label, moved towards those with it: at weight 1 the latter, above it beyond them.

    Ho and Salimans 2022, arXiv:2207.12598, in the form of Nisonoff et al. 2024, arXiv:2406.01572, for dies that pass or
    fail: probabilities are multiplied and divided, so that their logits add.
    """
    return unlabelled + weight * (labelled - unlabelled)


def weight_at(look: int, settings: DieFlowSampling) -> float:
    """The guidance's weight at look 0, 1, ... of ``sampler_steps``; whole at the one look where there is no other."""
    if settings.sampler_steps == 1:
        return settings.guidance
    done = look / (settings.sampler_steps - 1)
    part = {"none": 1.0, "rising": done, "falling": 1 - done}[settings.guidance_ramp]
    return 1 + (settings.guidance - 1) * part


class Drawer:
    """Draws maps on the die grids of given wafers.

    Args:
        name: of the source, for a line on stderr where a batch does not fit the GPU.
        logits: says how likely each hidden die is to fail.
        grids: label -> wafer maps uint8 (rows, columns) whose grids its samples get, each as likely as the other.
            What passed and failed on them is not looked at.
        settings: of the source.
        seed, scope: with the name, the label and a sample's position they decide its grid and its random numbers.
    """

    def __init__(
        self,
        name: str,
        logits: Logits,
        grids: Mapping[str, Sequence[np.ndarray]],
        settings: DieFlowSampling,
        seed: int,
        scope: Scope,
        device: torch.device,
    ):
        self.name, self.logits, self.grids, self.settings = name, logits, grids, settings
        self.seed, self.scope, self.device = seed, scope, device
        self.batches = HalvingBatches(f"{name} sample {scope}", settings.sample_batch)

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
        random = np.random.default_rng(derive_seed(self.seed, self.name, label, self.scope, index))
        wafer = self.grids[label][random.integers(len(self.grids[label]))]
        symmetry = int(random.integers(COUNT)) if self.settings.augment else 0
        dies = under_symmetry(np.where(wafer > 0, HIDDEN, 0), symmetry)
        order, threshold = random.random((2, *dies.shape), dtype=np.float32)
        return dies, order, threshold

    @torch.inference_mode()
    def _reveal(self, plans: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], label: str) -> list[np.ndarray]:
        multiple, looks = padding(self.settings.channels), self.settings.sampler_steps
        dies, order, threshold = (stack(part, multiple).to(self.device) for part in zip(*plans, strict=True))
        shapes = shapes_of([plan[0] for plan in plans]).to(self.device)
        for look in range(looks):
            with autocast(self.device, self.settings.precision):
                fails = self.logits(dies, shapes, label, weight_at(look, self.settings)).float().sigmoid()
            # few dies at first, while the pattern is open, many once it is settled; all of them at the last look
            due = 1.0 if look + 1 == looks else 1 - math.cos(math.pi / 2 * (look + 1) / looks)
            now = (dies == HIDDEN) & (order < due)
            dies = torch.where(now, torch.where(threshold < fails, FAIL, PASS), dies)
        flat = dies.to(torch.uint8).cpu().numpy()
        return [flat[i, : plan[0].shape[0], : plan[0].shape[1]].copy() for i, plan in enumerate(plans)]
