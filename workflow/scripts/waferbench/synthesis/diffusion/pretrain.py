"""Pretrains the wafer-native base on wafers of all classes without their names.

The base never sees a class name: one generic caption, dropped to "" now and then so that a prompt has something to be
held against. What makes a class is left to its adapter. The autoencoder loses nothing and is not trained
(`waferbench.synthesis.diffusion.autoencoder`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import BaseTraining, Denoising
from waferbench.learning.runtime import Checkpoint, seed_everything
from waferbench.learning.training import fit, named, step_generator
from waferbench.synthesis.diffusion.autoencoder import fold_statistics
from waferbench.synthesis.diffusion.base import Base, build_base
from waferbench.synthesis.diffusion.latents import draw, encode, encode_batch, noise_loss
from waferbench.synthesis.diffusion.sample import draw_images, initial_noise

STATISTICS_FROM = 512  # images that the latents' mean and spread are measured on
PRIOR_SAMPLES = 16
PRIOR = Denoising(sampler_steps=20, guidance=1.0, guidance_interval=(0.0, 1.0))


def pretrain_base(
    images: np.ndarray,
    settings: BaseTraining,
    seed: int,
    device: torch.device,
    checkpoints: Path | None = None,
) -> tuple[Base, pd.DataFrame]:
    """A diffusion model of wafer maps (Ho et al. 2020, in the layout of Rombach et al. 2022), from random weights.

    Args:
        images: uint8 (N, S, S) grey, of all classes.
        settings: of the source.
        seed: of weights, batches and noise.
        device: where to train; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the states that a killed training goes on from, or None.

    Returns:
        The base, and the history: stage (unet), step, loss.

    Raises:
        InputError: no image, or a size that the networks cannot halve.
    """
    if images.ndim != 3 or not len(images):
        raise InputError(f"base: found images of shape {images.shape}, expected at least one (N, S, S); add wafers")
    seed_everything(derive_seed(seed, "base"))
    base = build_base(settings.native, settings.size)
    for module in (base.vae, base.unet, base.text_encoder):
        module.to(device)
    _standardise(base, images, settings, derive_seed(seed, "statistics"), device)
    losses = _train_unet(base, images, settings, derive_seed(seed, "unet"), device, Checkpoint(checkpoints, "unet"))
    return base, pd.DataFrame({"stage": "unet", "step": np.arange(1, len(losses) + 1), "loss": losses})


def draw_prior(base: Base, settings: BaseTraining, seed: int, size: int) -> np.ndarray:
    """What the base draws by its own caption without any adapter, uint8 (16, size, size): what adapters start from."""
    noise = initial_noise(base, settings.size, [derive_seed(seed, "prior", i) for i in range(PRIOR_SAMPLES)])
    prompts = torch.cat([base.embed(""), base.embed(settings.native.caption)])
    return draw_images(base, noise, prompts, PRIOR, settings.precision, size)


def _standardise(base: Base, images: np.ndarray, settings: BaseTraining, seed: int, device: torch.device) -> None:
    """Latents of mean 0 and deviation 1: what noise of deviation 1 is mixed with."""
    some = np.random.default_rng(seed).permutation(len(images))[:STATISTICS_FROM] * 8
    latents = encode(base.vae, images, some, settings.size, device, settings.precision).cpu().double()
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3)).clamp(min=1e-2)  # images may all be one grey
    fold_statistics(base.vae, mean.float(), std.float())


def _train_unet(
    base: Base, images: np.ndarray, settings: BaseTraining, seed: int, device: torch.device, checkpoint: Checkpoint
) -> np.ndarray:
    native, unet, precision = settings.native, base.unet, settings.precision
    codes = draw(len(images), native.unet_steps, native.unet_batch, native.augment, seed)
    captions = torch.cat([base.embed(native.caption), base.embed("")])
    alphas, prediction = base.alphas, base.scheduler.config.prediction_type

    def loss_of(step: int, rows: slice) -> Tensor:
        latents = encode_batch(base.vae, images, codes[step], settings.size, device, precision)
        generator = step_generator(derive_seed(seed, "caption"), step)
        dropped = (torch.rand(len(latents), generator=generator) < native.drop_caption).long().to(device)
        return noise_loss(unet, latents, captions[dropped], alphas, prediction, seed, step, rows, precision)

    unet.requires_grad_(True).train()
    losses = fit(
        "base unet",
        named([("unet", unet)]),
        loss_of,
        native.unet_steps,
        native.unet_batch,
        native.unet_lr,
        checkpoint,
        ema=native.ema,
    )
    unet.requires_grad_(False).eval()
    return losses
