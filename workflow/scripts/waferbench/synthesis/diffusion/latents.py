"""Images to latents and back, and the noise-prediction loss on latents."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from waferbench.learning.runtime import HalvingBatches, autocast
from waferbench.learning.training import step_generator
from waferbench.wafers.symmetries import under_symmetry

ENCODE_PIXELS = 64 * 64 * 64  # pixels that go through the autoencoder at once


def to_pixels(images: np.ndarray, symmetries: np.ndarray, size: int) -> Tensor:
    """Grey images, each under one of the square's symmetries, as the pipeline's pixels.

    Args:
        images: uint8 (N, S, S).
        symmetries: int (N,), 0-3 quarter turns, 4-7 the same of the mirror image.
        size: edge wanted; larger images are made by repeating pixels, so that dies keep their edges.

    Returns:
        float32 (N, 3, size, size) in [-1, 1], the grey in each channel.
    """
    turned = [under_symmetry(image, symmetry) for image, symmetry in zip(images, symmetries, strict=True)]
    grey = torch.from_numpy(np.stack(turned)).float().div_(127.5).sub_(1)[:, None]
    if grey.shape[-1] != size:
        grey = F.interpolate(grey, size=(size, size), mode="nearest")
    return grey.expand(-1, 3, -1, -1)


def to_grey(pixels: Tensor, size: int) -> np.ndarray:
    """The pipeline's pixels (N, 3, H, W) in about [-1, 1] as uint8 (N, size, size) grey, by area."""
    grey = pixels.float().clamp(-1, 1).mean(1, keepdim=True)
    if grey.shape[-1] != size:
        grey = F.interpolate(grey, size=(size, size), mode="area")
    return grey[:, 0].add(1).mul(127.5).round().to(torch.uint8).cpu().numpy()


def draw(n: int, steps: int, batch: int, augment: bool, seed: int) -> np.ndarray:
    """Which image, under which symmetry, every step sees: int (steps, batch), ``image * 8 + symmetry``.

    Images are drawn by shuffled passes, so that each is seen equally often.
    """
    random = np.random.default_rng(seed)
    passes = -(-steps * batch // n)
    image = np.concatenate([random.permutation(n) for _ in range(passes)])[: steps * batch]
    symmetry = random.integers(0, 8, steps * batch) if augment else np.zeros(steps * batch, np.int64)
    return (image * 8 + symmetry).reshape(steps, batch)


@torch.no_grad()
def encode_batch(
    vae: torch.nn.Module,
    images: np.ndarray,
    codes: np.ndarray,
    size: int,
    device: torch.device,
    precision: str = "auto",
) -> Tensor:
    """Scaled latents of images under symmetries.

    Args:
        images: uint8 (N, S, S).
        codes: int (M,), ``image * 8 + symmetry``.

    Returns:
        float32 (M, C, h, w) on ``device``: the means of the autoencoder's posterior times its scaling factor.
    """
    pixels = to_pixels(images[codes // 8], codes % 8, size).to(device)
    with autocast(device, precision):
        mean = vae.encode(pixels).latent_dist.mode()
    return mean.float() * vae.config.scaling_factor


@torch.no_grad()
def decode(vae: torch.nn.Module, latents: Tensor, size: int, precision: str = "auto") -> np.ndarray:
    """Scaled latents (N, C, h, w) as grey images, uint8 (N, size, size); `ENCODE_PIXELS` at once."""
    at_once = max(1, ENCODE_PIXELS // (latents.shape[-1] * halving(vae)) ** 2)
    with autocast(latents.device, precision):
        parts = (latents / vae.config.scaling_factor).split(at_once)
        return np.concatenate([to_grey(vae.decode(part).sample, size) for part in parts])


def halving(vae: torch.nn.Module) -> int:
    """Pixels that one position of the latents stands for, along an edge."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


@torch.no_grad()
def encode(
    vae: torch.nn.Module,
    images: np.ndarray,
    codes: np.ndarray,
    size: int,
    device: torch.device,
    precision: str = "auto",
) -> Tensor:
    """`encode_batch` of many images, computed once for a whole training.

    Returns:
        float16 (M, C, h, w) on ``device``.
    """

    def some(part: np.ndarray) -> Tensor:
        return encode_batch(vae, images, part, size, device, precision).half()

    return torch.cat(HalvingBatches("latents", max(1, ENCODE_PIXELS // size**2)).run(some, [codes]))


def noise_loss(
    unet: torch.nn.Module,
    latents: Tensor,
    embedding: Tensor,
    alphas: Tensor,
    prediction: str,
    seed: int,
    step: int,
    rows: slice = slice(None),
    precision: str = "auto",
) -> Tensor:
    """Mean squared error of the predicted noise (Ho et al. 2020, eq. 14), or of v, at random times.

    Args:
        latents: (B, C, h, w) clean latents.
        embedding: (B, tokens, width) of the prompts.
        alphas: (T,) cumulative products of the noise schedule.
        prediction: the base's ``prediction_type``, epsilon or v_prediction.
        seed, step: what noise and times are a function of; the times are spread over the batch.
        rows: the part of the batch that the loss is taken of.
    """
    generator = step_generator(seed, step)
    n = len(latents)
    noise = torch.randn(latents.shape, generator=generator).to(latents.device)
    spread = (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n
    times = (spread * len(alphas)).long().clamp_(max=len(alphas) - 1).to(latents.device)
    latents, noise, times, embedding = latents[rows], noise[rows], times[rows], embedding[rows]
    alpha = alphas[times][:, None, None, None]
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = noise if prediction == "epsilon" else alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    with autocast(latents.device, precision):
        predicted = unet(noisy, times, encoder_hidden_states=embedding, return_dict=False)[0]
    return F.mse_loss(predicted.float(), target)
