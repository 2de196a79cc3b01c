"""Adapters of a die LoRA: one a class, trained on a few of its wafers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import DieFlowTraining, DieLoraTraining
from waferbench.learning.runtime import Checkpoint, autocast
from waferbench.learning.training import fit, step_generator
from waferbench.synthesis.dieflow.network import HIDDEN, DieNet, losses
from waferbench.synthesis.dieflow.train import Batches, hidden_shares
from waferbench.synthesis.dielora.base import one_label

UNTOUCHED = ("stem", "head")  # what goes in and comes out is the same for every class
DOWN, UP = "lora_A.weight", "lora_B.weight"  # peft's names
FEWEST = 6  # wafers of a class that an adapter learns from


def targets(network: DieNet) -> dict[str, Tensor]:
    """Name of each module that gets an adapter -> its weight: every convolution and linear layer but stem and head."""
    return {
        name: module.weight
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and name.split(".")[0] not in UNTOUCHED
    }


def new_adapter(network: DieNet, rank: int, seed: int) -> dict[str, nn.Parameter]:
    """An adapter that changes nothing yet.

    Returns:
        In the layout of peft: ``<module>.lora_A.weight`` (rank, in, ...), uniform as a layer of that width starts,
        and ``<module>.lora_B.weight`` (out, rank, 1, ...), 0. The rank of a layer is no larger than its weight's can
        be: three for the facts' three numbers.
    """
    random, adapter = torch.Generator().manual_seed(derive_seed(seed, "adapter")), {}
    for name, weight in targets(network).items():
        own = min(rank, len(weight), weight[0].numel())
        down = torch.rand((own, *weight.shape[1:]), generator=random) * 2 - 1
        down *= weight[0].numel() ** -0.5
        up = torch.zeros((len(weight), own, *[1] * (weight.dim() - 2)))
        adapter[f"{name}.{DOWN}"] = nn.Parameter(down.to(weight.device))
        adapter[f"{name}.{UP}"] = nn.Parameter(up.to(weight.device))
    return adapter


def adapted(network: DieNet, adapter: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The weights that an adapter changes, by parameter name: W + (alpha / rank) B A, by each layer's own rank.

    Raises:
        InputError: the adapter belongs to another network.
    """
    weights = targets(network)
    if adapter.keys() != {f"{name}.{part}" for name in weights for part in (DOWN, UP)}:
        raise InputError("the adapter does not fit its base; delete its file and run again")
    result = {}
    for name, weight in weights.items():
        down, up = adapter[f"{name}.{DOWN}"], adapter[f"{name}.{UP}"]
        change = (up.flatten(1) @ down.flatten(1)).view(weight.shape)
        result[f"{name}.weight"] = weight + alpha / len(down) * change
    return result


def train_adapters(
    base: DieNet,
    maps: Mapping[str, Sequence[np.ndarray]],
    settings: DieLoraTraining,
    seed: int,
    checkpoints: Path | None = None,
) -> tuple[dict[str, dict[str, Tensor]], pd.DataFrame]:
    """Train one adapter a class to tell the hidden dies of its wafers; the base stays as it is.

    Args:
        base: frozen, on the device to train on.
        maps: label -> uint8 (rows, columns) of 0 off, 1 pass, 2 fail, any shapes.
        settings: of the source.
        seed: of adapters, batches and hidden dies; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the states that a killed training goes on from, or None.

    Returns:
        Label -> adapter as `new_adapter` has it (averaged over its training where ``ema``), and the history: label,
        step, loss in nats a die.

    Raises:
        InputError: a class has fewer wafers than an adapter can learn from, or the loss is no longer finite.
    """
    for label, own in maps.items():
        if len(own) < FEWEST:
            raise InputError(
                f"die lora: class {label!r} has {len(own)} training wafers, and an adapter needs {FEWEST} at "
                "least; add wafers (dataset.simulated.counts for simulated ones) or drop it from dataset.classes"
            )
    adapters, parts = {}, []
    for label, own in maps.items():
        adapter = new_adapter(base, settings.rank, derive_seed(seed, label))
        checkpoint = Checkpoint(checkpoints, label)
        history = _train_one(base, adapter, label, own, settings, derive_seed(seed, label), checkpoint)
        adapters[label] = {name: value.detach().cpu() for name, value in adapter.items()}
        parts.append(pd.DataFrame({"label": label, "step": np.arange(1, len(history) + 1), "loss": history}))
    return adapters, pd.concat(parts, ignore_index=True)


def _train_one(
    base: DieNet,
    adapter: Mapping[str, nn.Parameter],
    label: str,
    maps: Sequence[np.ndarray],
    settings: DieLoraTraining,
    seed: int,
    checkpoint: Checkpoint,
) -> np.ndarray:
    device, n = base.label.weight.device, settings.batch
    flow = DieFlowTraining.of(settings, balance=0.0, drop_label=0.0)
    batches = Batches(maps, np.zeros(len(maps), np.int64), flow, derive_seed(seed, "batches"))

    def loss_of(step: int, rows: slice) -> Tensor:
        dies, shapes, _ = (part[rows].to(device) for part in batches.draw(step))
        random = step_generator(derive_seed(seed, "hide"), step)
        share = hidden_shares(n, settings.hidden, random)
        hidden = (torch.rand((n, *dies.shape[1:]), generator=random) < share[:, None, None])[rows].to(device)
        hidden &= dies > 0
        seen = torch.where(hidden, HIDDEN, dies)
        with autocast(device, settings.precision):
            weights = adapted(base, adapter, settings.alpha)
            logits = functional_call(base, weights, (seen, shapes, one_label(dies)))
        return losses(logits, dies, hidden).mean()

    return fit(
        f"die lora {label}",
        adapter,
        loss_of,
        settings.steps,
        n,
        settings.lr,
        checkpoint,
        weight_decay=settings.weight_decay,
        ema=settings.ema,
    )
