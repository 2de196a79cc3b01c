"""Training a die flow on the wafers of a fold, all classes and grids in one network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import DieFlowTraining
from waferbench.learning.runtime import Checkpoint, autocast, seed_everything
from waferbench.learning.training import fit, named, step_generator
from waferbench.synthesis.dieflow.network import HIDDEN, DieNet, losses, padding
from waferbench.wafers.store import require_each
from waferbench.wafers.symmetries import COUNT, under_symmetry


def train_die_flow(
    maps: Sequence[np.ndarray],
    labels: np.ndarray,
    classes: Sequence[str],
    settings: DieFlowTraining,
    seed: int,
    device: torch.device,
    checkpoints: Path | None = None,
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Train one network to tell the hidden dies of a wafer from those that are left.

    Args:
        maps: uint8 (rows, columns) of 0 off, 1 pass, 2 fail, any shapes.
        labels: str (N,) label of each map.
        classes: the labels, in the order of the network's embedding.
        settings: of the source.
        seed: of weights, batches and hidden dies; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the state that a killed training goes on from, or None.

    Returns:
        The network's weights (averaged over the training where ``ema``), and the history: step, loss in nats a die
        (of another meaning for each kind of ``hidden``, see `waferbench.synthesis.dieflow.network.losses`).

    Raises:
        InputError: a class has no map, or the loss is no longer finite.
    """
    labels = np.asarray(labels)
    require_each(classes, labels, "die flow")
    seed_everything(derive_seed(seed, "die flow"))
    network = DieNet(len(classes) + 1, settings.channels).to(device, memory_format=torch.channels_last).train()
    positions = np.array([list(classes).index(label) for label in labels])
    batches = Batches(maps, positions, settings, derive_seed(seed, "die flow batches"))

    def loss_of(step: int, rows: slice) -> Tensor:
        dies, shapes, chosen = (part[rows].to(device) for part in batches.draw(step))
        random = step_generator(derive_seed(seed, "hide"), step)
        n, size = settings.batch, dies.shape[1:]
        share = hidden_shares(n, settings.hidden, random)
        hidden = (torch.rand((n, *size), generator=random) < share[:, None, None])[rows].to(device) & (dies > 0)
        unlabelled = (torch.rand(n, generator=random) < settings.drop_label)[rows].to(device)
        chosen = torch.where(unlabelled, len(classes), chosen)
        with autocast(device, settings.precision):
            logits = network(torch.where(hidden, HIDDEN, dies), shapes, chosen)
        return losses(logits, dies, hidden).mean()

    history = fit(
        "die flow",
        named([("network", network)]),
        loss_of,
        settings.steps,
        settings.batch,
        settings.lr,
        Checkpoint(checkpoints, "die-flow"),
        weight_decay=settings.weight_decay,
        ema=settings.ema,
    )
    state = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    return state, pd.DataFrame({"step": np.arange(1, len(history) + 1), "loss": history})


def hidden_shares(n: int, kind: str, random: torch.Generator) -> Tensor:
    """Share of hidden dies of each wafer of a batch, float (n,), spread evenly over the batch.

    Args:
        kind: uniform: between 0 and 1; mostly: 1 - u^2, two thirds on average. What a label says is little beside the
            noise of hundreds of dies, and is of use only while nearly all of them are hidden.
    """
    u = (torch.randperm(n, generator=random) + torch.rand(n, generator=random)) / n
    return u if kind == "uniform" else 1 - u**2


class Batches:
    """Batches of maps that share a padded shape; which maps, and under which symmetry, is a function of the step.

    A wafer is drawn in proportion to (wafers of its class) ** -``balance``: 0 = as in the data, 1 = all classes alike.
    """

    def __init__(self, maps: Sequence[np.ndarray], positions: np.ndarray, settings: DieFlowTraining, seed: int):
        self.maps, self.positions, self.settings, self.seed = maps, positions, settings, seed
        self.multiple = padding(settings.channels)
        weight = (np.bincount(positions)[positions] ** -settings.balance).astype(float)
        groups = by_padded_shape(maps, self.multiple)
        self.groups = [np.array(groups[shape]) for shape in sorted(groups)]
        self.weights = [weight[group] / weight[group].sum() for group in self.groups]
        self.share = np.array([weight[group].sum() for group in self.groups]) / weight.sum()

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Dies int64 (B, H, W), shapes float (B, 2), labels int64 (B,), on the CPU."""
        random = np.random.default_rng([self.seed, step])
        which = random.choice(len(self.groups), p=self.share)
        chosen = random.choice(self.groups[which], self.settings.batch, p=self.weights[which])
        symmetry = int(random.integers(COUNT)) if self.settings.augment else 0
        maps = [under_symmetry(self.maps[i], symmetry) for i in chosen]
        return stack(maps, self.multiple).long(), shapes_of(maps), torch.from_numpy(self.positions[chosen])


def padded_shape(shape: Sequence[int], multiple: int) -> tuple[int, int]:
    """Rows and columns rounded up to a multiple."""
    return -(-shape[0] // multiple) * multiple, -(-shape[1] // multiple) * multiple


def by_padded_shape(arrays: Iterable[np.ndarray], multiple: int) -> dict[tuple[int, int], list[int]]:
    """Padded shape -> positions of the arrays that have it, in order."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, array in enumerate(arrays):
        groups.setdefault(padded_shape(array.shape, multiple), []).append(i)
    return groups


def stack(arrays: Sequence[np.ndarray], multiple: int) -> Tensor:
    """Arrays of one padded shape as (B, H, W) of their own dtype, 0 where padded."""
    result = np.zeros((len(arrays), *padded_shape(arrays[0].shape, multiple)), arrays[0].dtype)
    for i, array in enumerate(arrays):
        result[i, : array.shape[0], : array.shape[1]] = array
    return torch.from_numpy(result)


def shapes_of(arrays: Sequence[np.ndarray]) -> Tensor:
    """Rows and columns before padding, float (B, 2)."""
    return torch.tensor([array.shape for array in arrays], dtype=torch.float32)
