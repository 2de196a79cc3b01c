"""Draws images: UniPC steps (Zhao et al. 2023) with classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from waferbench.diffusion.adapters import AdapterSwitch
from waferbench.diffusion.base import Base
from waferbench.diffusion.latents import ENCODE_PIXELS, to_grey
from waferbench.diffusion.loop import mixed_precision
from waferbench.progress import progress
from waferbench.seeds import derive_seed


def sample_adapters(
    base: Base,
    adapters: Mapping[str, str | Path],
    n: int,
    settings: Mapping[str, Any],
    seed: int,
    scope: str,
    size: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """Images of each label in turn, from one UNet whose adapters are swapped.

    Args:
        base: the base that the adapters were trained on, on the device to sample on.
        adapters: label -> adapter file.
        n: images a label.
        settings: a ``define.sources`` entry of kind ``db_sd_lora``.
        seed, scope: with the label and the image's position they decide its noise, whatever the batch size.
        size: edge of the images wanted.

    Yields:
        Label, uint8 (n, size, size) grey.

    Raises:
        InputError: an adapter that belongs to another base.
    """
    embeddings = torch.cat([base.embed(""), base.embed(settings["instance_prompt"])])
    batches = -(-n // settings["sample_batch"])
    bar = iter(progress(range(batches * len(adapters)), f"lora sample {scope}"))
    with AdapterSwitch(base) as switch:
        for label, path in adapters.items():
            switch.load(path)
            parts = []
            for start in range(0, n, settings["sample_batch"]):
                next(bar, None)
                stop = min(n, start + settings["sample_batch"])
                noise = initial_noise(base, settings, [derive_seed(seed, label, scope, i) for i in range(start, stop)])
                parts.append(draw_images(base, noise, embeddings, settings, size))
            yield label, np.concatenate(parts) if parts else np.zeros((0, size, size), np.uint8)
    next(bar, None)


def initial_noise(base: Base, settings: Mapping[str, Any], seeds: list[int]) -> Tensor:
    """float32 (len(seeds), C, h, w) standard normal latents, each a function of its seed alone."""
    edge = int(settings["size"]) // 2 ** (len(base.vae.config.block_out_channels) - 1)
    shape = (base.unet.config.in_channels, edge, edge)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@torch.inference_mode()
def draw_images(base: Base, noise: Tensor, embeddings: Tensor, settings: Mapping[str, Any], size: int) -> np.ndarray:
    """Latents from noise, then grey images; the stock pipeline's own computation.

    Args:
        noise: (B, C, h, w) standard normal.
        embeddings: (2, tokens, width) of the empty prompt and of the prompt.
        settings: ``sampler_steps``, ``guidance`` (1 or less: none).

    Returns:
        uint8 (B, size, size).
    """
    device, guidance = base.unet.device, float(settings["guidance"])
    scheduler = unipc(base)
    scheduler.set_timesteps(settings["sampler_steps"], device=device)
    guided = guidance > 1
    prompts = (embeddings if guided else embeddings[1:]).repeat_interleave(len(noise), 0).to(device)
    latents = noise.to(device) * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        both = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, time)
        with mixed_precision(device):
            predicted = base.unet(both, time, encoder_hidden_states=prompts, return_dict=False)[0].float()
        if guided:
            empty, prompted = predicted.chunk(2)
            predicted = empty + guidance * (prompted - empty)
        latents = scheduler.step(predicted, time, latents, return_dict=False)[0]
    latents = latents / base.vae.config.scaling_factor
    at_once = max(1, ENCODE_PIXELS // int(settings["size"]) ** 2)
    with mixed_precision(device):
        return np.concatenate([to_grey(base.vae.decode(part).sample, size) for part in latents.split(at_once)])


def unipc(base: Base) -> UniPCMultistepScheduler:
    """UniPC of order 2, variant bh2, predicting x0, on the base's noise schedule."""
    return UniPCMultistepScheduler.from_config(
        base.scheduler.config, solver_order=2, solver_type="bh2", predict_x0=True
    )
