"""One LoRA adapter a class on a frozen base (Hu et al. 2022; DreamBooth, Ruiz et al. 2023, without its prior loss)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import LoraTraining
from waferbench.learning.runtime import Checkpoint, seed_everything
from waferbench.learning.schedule import constant
from waferbench.learning.training import fit
from waferbench.synthesis.diffusion.adapters import ADAPTABLE
from waferbench.synthesis.diffusion.base import Base, require_size
from waferbench.synthesis.diffusion.latents import draw, encode, noise_loss
from waferbench.wafers.store import require_each

ADAPTER = "default"
FEWEST = 6  # wafers of a class that an adapter is trained on


@dataclass(frozen=True)
class Adapters:
    """Trained adapters.

    tensors: label -> ``<module>.lora_A.weight`` / ``.lora_B.weight``, what an adapter file holds.
    history: label, step, loss.
    unmatched: targets of the settings that name no module of this UNet (``add_k_proj`` in Stable Diffusion 1.5).
    """

    tensors: dict[str, dict[str, Tensor]]
    history: pd.DataFrame
    unmatched: list[str]


def train_adapters(
    base: Base,
    images: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    settings: LoraTraining,
    seed: int,
    checkpoints: Path | None = None,
) -> Adapters:
    """Train one adapter per class by noise prediction under one shared prompt.

    The UNet stays in memory once, its adapter is initialised anew for each class. Latents and the prompt's
    embedding are computed once. The base's own weights never change; the adapter stays in ``base.unet``.

    Args:
        base: on the device to train on.
        images: uint8 (N, S, S) grey.
        labels: str (N,) label of each image.
        classes: the labels to train, in order.
        settings: of the source.
        seed: of adapters, batches and noise; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the states that a killed training goes on from, or None.

    Raises:
        InputError: a class has too few images, the base works at other sizes, or no target names a module of the UNet.
    """
    labels = np.asarray(labels)
    require_each(classes, labels, "lora")
    for label in classes:
        require_enough(label, int((labels == label).sum()))
    require_size(base.unet, base.vae, settings.size)
    unmatched = add_adapter(base.unet, settings)
    if settings.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
    prompt = base.embed(settings.instance_prompt)
    tensors, parts = {}, []
    for label in classes:
        checkpoint = Checkpoint(checkpoints, label)
        losses = _train_one(
            base, images[labels == label], label, prompt, settings, derive_seed(seed, label), checkpoint
        )
        tensors[label] = {name: value.detach().cpu().clone() for name, value in _parameters(base.unet).items()}
        parts.append(pd.DataFrame({"label": label, "step": np.arange(1, len(losses) + 1), "loss": losses}))
    return Adapters(tensors, pd.concat(parts, ignore_index=True), unmatched)


def require_enough(label: str, found: int) -> None:
    """`InputError` where a class has too few wafers for an adapter of its own."""
    if found < FEWEST:
        raise InputError(
            f"lora: class {label!r} has {found} training wafers, an adapter needs {FEWEST} or it repeats them; add "
            "wafers of it, take it out of dataset.classes, or take lora out of conditions"
        )


def matching_targets(unet: nn.Module, targets: Sequence[str]) -> list[str]:
    """The targets that name a linear layer or a convolution of this UNet; `InputError` where none does."""
    layers = [name for name, module in unet.named_modules() if isinstance(module, ADAPTABLE)]
    matched = [target for target in targets if any(f".{name}".endswith(f".{target}") for name in layers)]
    if not matched:
        raise InputError(
            f"define.sources target_modules: none of {', '.join(targets)} names a linear layer or a convolution of "
            "this UNet; take for instance to_q, to_k, to_v, to_out.0, conv1, conv2"
        )
    return matched


def add_adapter(unet: nn.Module, settings: LoraTraining) -> list[str]:
    """Put a trainable adapter into a frozen UNet; returns the targets that match no module and so do nothing.

    Raises:
        InputError: no target matches.
    """
    matched = matching_targets(unet, settings.target_modules)
    unmatched = [target for target in settings.target_modules if target not in matched]
    if unmatched:
        print(f"lora: {', '.join(unmatched)} do not exist in this UNet and do nothing", file=sys.stderr)
    unet.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.alpha, init_lora_weights="gaussian", target_modules=matched),
        ADAPTER,
    )
    return unmatched


def _train_one(
    base: Base,
    images: np.ndarray,
    label: str,
    prompt: Tensor,
    settings: LoraTraining,
    seed: int,
    checkpoint: Checkpoint,
) -> np.ndarray:
    seed_everything(derive_seed(seed, "adapter"))
    for module in base.unet.modules():
        if isinstance(module, LoraLayer):
            module.reset_lora_parameters(ADAPTER, "gaussian")
    device = base.unet.device
    codes = draw(len(images), settings.steps, settings.batch, settings.augment, seed)
    seen, position = np.unique(codes, return_inverse=True)
    latents = encode(base.vae, images, seen, settings.size, device, settings.precision)
    position = torch.from_numpy(position.reshape(codes.shape)).to(device)
    embedding = prompt.expand(settings.batch, -1, -1)
    alphas, prediction = base.alphas, base.scheduler.config.prediction_type

    def loss_of(step: int, rows: slice) -> Tensor:
        chosen, precision = latents[position[step]].float(), settings.precision
        return noise_loss(base.unet, chosen, embedding, alphas, prediction, seed, step, rows, precision)

    return fit(
        f"lora {label}",
        _parameters(base.unet),
        loss_of,
        settings.steps,
        settings.batch,
        settings.lr,
        checkpoint,
        constant,
        settings.weight_decay,
        settings.clip,
        settings.ema,
        settings.accumulate,
    )


def _parameters(unet: nn.Module) -> dict[str, nn.Parameter]:
    """The adapter's parameters by the names that an adapter file has."""
    marker = f".{ADAPTER}.weight"
    return {name.replace(marker, ".weight"): value for name, value in unet.named_parameters() if name.endswith(marker)}
