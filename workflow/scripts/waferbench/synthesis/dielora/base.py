"""The frozen base of a die LoRA: a die flow of wafers whose classes nobody told it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from waferbench.base.artifacts import read_weights
from waferbench.base.errors import InputError
from waferbench.base.scope import POOLED
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import DieBaseTraining, DieFlowSampling, DieFlowTraining
from waferbench.synthesis.dieflow.network import DieNet
from waferbench.synthesis.dieflow.reveal import Drawer
from waferbench.synthesis.dieflow.train import train_die_flow
from waferbench.wafers.simulate.pretraining import base_wafers

WAFER = "wafer"  # the one label
PRIOR_SAMPLES, PRIOR_LOOKS = 16, 16
LABELS = 2  # rows of the embedding: of that label and of none, as a die flow has them


def pretrain_die_base(
    settings: DieBaseTraining, variant: str, seed: int, device: torch.device, checkpoints: Path | None = None
) -> tuple[dict[str, Tensor], pd.DataFrame]:
    """Train a base on simulated wafers of all classes.

    Args:
        settings: of the source.
        variant: of the simulator.
        seed: of wafers, weights and batches; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the state that a killed training goes on from, or None.

    Returns:
        Weights and history (step, loss in nats a die), as `waferbench.synthesis.dieflow.train.train_die_flow`.
    """
    maps = base_wafers(settings.native.wafers, seed, variant)
    flow = DieFlowTraining.of(settings.native, settings, balance=0.0, drop_label=0.0)
    return train_die_flow(maps, np.full(len(maps), WAFER), [WAFER], flow, seed, device, checkpoints)


def draw_prior(
    state: Mapping[str, Tensor], settings: DieBaseTraining, variant: str, seed: int, device: torch.device
) -> list[np.ndarray]:
    """A few maps of the base alone, uint8 (rows, columns) of 0 off, 1 pass, 2 fail.

    Args:
        state, settings, variant, seed: as `pretrain_die_base` returns and takes them.
    """
    network = DieNet(LABELS, settings.channels)
    network.load_state_dict(dict(state))
    network.to(device, memory_format=torch.channels_last).eval()
    grids = {WAFER: base_wafers(PRIOR_SAMPLES, derive_seed(seed, "prior"), variant)}
    sampling = DieFlowSampling.of(settings, sampler_steps=PRIOR_LOOKS, guidance=1.0)

    def logits(dies: Tensor, shapes: Tensor, _label: str, _weight: float) -> Tensor:
        return network(dies, shapes, one_label(dies))

    return Drawer("die base", logits, grids, sampling, seed, POOLED, device).draw(WAFER, 0, PRIOR_SAMPLES)


def load_die_base(path: str | Path, channels: Sequence[int], device: torch.device) -> DieNet:
    """A base from its file, frozen.

    Args:
        channels: widths that the settings give it.

    Raises:
        InputError: unreadable, or a network of other widths.
    """
    network, state = DieNet(LABELS, channels), read_weights(path)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if found != wanted:
        name = next(name for name in (*wanted, *found) if found.get(name) != wanted.get(name))
        raise InputError(
            f"{path}: not a base with channels = {list(channels)}: {name} is {found.get(name, 'missing')}, expected "
            f"{wanted.get(name, 'nothing of that name')}; set channels to those that it was pretrained with, or delete "
            "it and run again"
        )
    network.load_state_dict(state)
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def one_label(dies: Tensor) -> Tensor:
    """The one label for each of a batch of dies (B, H, W), int64 (B,)."""
    return torch.zeros(len(dies), dtype=torch.int64, device=dies.device)
