"""Pretrains the wafer-native base on all classes without their names: autoencoder first, then the UNet.

The base never sees a class name: one generic caption, dropped to "" now and then so that guidance has
something to guide away from. What makes a class is left to its adapter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import BaseTraining, Denoising
from waferbench.learning.runtime import Checkpoint, autocast, seed_everything
from waferbench.learning.training import fit, named, step_generator
from waferbench.synthesis.diffusion.base import Base, build_base
from waferbench.synthesis.diffusion.latents import draw, encode, noise_loss, to_pixels
from waferbench.synthesis.diffusion.sample import draw_images, initial_noise

SCALE_FROM = 512  # images that the latents' spread is measured on
PRIOR_SAMPLES = 16
PRIOR = Denoising(sampler_steps=20, guidance=1.0, guidance_interval=(0.0, 1.0))


def pretrain_base(
    images: np.ndarray,
    settings: BaseTraining,
    seed: int,
    device: torch.device,
    checkpoints: Path | None = None,
) -> tuple[Base, pd.DataFrame]:
    """A latent diffusion model of wafer maps (Rombach et al. 2022), trained from random weights.

    Args:
        images: uint8 (N, S, S) grey, of all classes.
        settings: of the source.
        seed: of weights, batches and noise.
        device: where to train; on a CPU equal seeds give equal bytes.
        checkpoints: folder for the states that a killed training goes on from, or None.

    Returns:
        The base, and the history: stage (vae, unet), step, loss.

    Raises:
        InputError: no image, or a size that the networks cannot halve.
    """
    if images.ndim != 3 or not len(images):
        raise InputError(f"base: found images of shape {images.shape}, expected at least one (N, S, S); add wafers")
    seed_everything(derive_seed(seed, "base"))
    base = build_base(settings.native, settings.size)
    for module in (base.vae, base.unet, base.text_encoder):
        module.to(device)
    vae = _train_vae(base, images, settings, derive_seed(seed, "vae"), device, Checkpoint(checkpoints, "vae"))
    unet = _train_unet(base, images, settings, derive_seed(seed, "unet"), device, Checkpoint(checkpoints, "unet"))
    parts = [
        pd.DataFrame({"stage": stage, "step": np.arange(1, len(losses) + 1), "loss": losses})
        for stage, losses in (("vae", vae), ("unet", unet))
    ]
    return base, pd.concat(parts, ignore_index=True)


def draw_prior(base: Base, settings: BaseTraining, seed: int, size: int) -> np.ndarray:
    """What the base draws by its own caption without any adapter, uint8 (16, size, size): what adapters start from."""
    noise = initial_noise(base, settings.size, [derive_seed(seed, "prior", i) for i in range(PRIOR_SAMPLES)])
    prompts = torch.cat([base.embed(""), base.embed(settings.native.caption)])
    return draw_images(base, noise, prompts, PRIOR, settings.precision, size)


def _train_vae(
    base: Base, images: np.ndarray, settings: BaseTraining, seed: int, device: torch.device, checkpoint: Checkpoint
) -> np.ndarray:
    native, size, vae = settings.native, settings.size, base.vae
    codes = draw(len(images), native.vae_steps, native.vae_batch, native.augment, seed)

    def loss_of(step: int, rows: slice) -> Tensor:
        chosen = codes[step, rows]
        pixels = to_pixels(images[chosen // 8], chosen % 8, size).to(device)
        with autocast(device, settings.precision):
            posterior = vae.encode(pixels).latent_dist
            shape = (codes.shape[1], *posterior.mean.shape[1:])
            noise = torch.randn(shape, generator=step_generator(seed, step))[rows].to(device)
            decoded = vae.decode(posterior.mean + posterior.std * noise).sample.float()
        # absolute error keeps die edges sharp, squared error keeps single dies from being left out
        loss = F.l1_loss(decoded, pixels) + F.mse_loss(decoded, pixels)
        return loss + native.kl_weight * posterior.kl().float().mean()

    vae.requires_grad_(True).train()
    losses = fit(
        "base vae",
        named([("vae", vae)]),
        loss_of,
        native.vae_steps,
        native.vae_batch,
        native.vae_lr,
        checkpoint,
    )
    vae.requires_grad_(False).eval()
    some = np.random.default_rng(seed).permutation(len(images))[:SCALE_FROM] * 8
    vae.register_to_config(scaling_factor=1.0)
    latents = encode(vae, images, some, size, device, settings.precision).float()
    # the root of the mean square: the pipeline scales but never shifts, and the UNet wants unit power
    vae.register_to_config(scaling_factor=round(float(1 / latents.square().mean().sqrt().clamp(min=1e-6)), 6))
    return losses


def _train_unet(
    base: Base, images: np.ndarray, settings: BaseTraining, seed: int, device: torch.device, checkpoint: Checkpoint
) -> np.ndarray:
    native, unet = settings.native, base.unet
    codes = draw(len(images), native.unet_steps, native.unet_batch, native.augment, seed)
    seen, position = np.unique(codes, return_inverse=True)
    latents = encode(base.vae, images, seen, settings.size, device, settings.precision)
    position = torch.from_numpy(position.reshape(codes.shape)).to(device)
    captions = torch.cat([base.embed(native.caption), base.embed("")])
    alphas, prediction = base.alphas, base.scheduler.config.prediction_type

    def loss_of(step: int, rows: slice) -> Tensor:
        chosen = latents[position[step]].float()
        generator = step_generator(derive_seed(seed, "caption"), step)
        dropped = (torch.rand(len(chosen), generator=generator) < native.drop_caption).long().to(device)
        precision = settings.precision
        return noise_loss(unet, chosen, captions[dropped], alphas, prediction, seed, step, rows, precision)

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
