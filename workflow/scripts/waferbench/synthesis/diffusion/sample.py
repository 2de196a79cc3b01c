"""Draws images: UniPC steps (Zhao et al. 2023) with classifier-free guidance (Ho & Salimans 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from waferbench.base.scope import Scope
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import Denoising, LoraSampling
from waferbench.learning.runtime import HalvingBatches, autocast
from waferbench.synthesis.diffusion.adapters import AdapterSwitch
from waferbench.synthesis.diffusion.base import Base
from waferbench.synthesis.diffusion.latents import ENCODE_PIXELS, to_grey


class Sampler:
    """Draws from one UNet in memory, whose adapters are swapped; as a context it leaves the UNet pristine.

    Args:
        base: the base that the adapters were trained on, on the device to sample on.
        settings: of the source.
        seed, scope: with the label and the image's position they decide its noise, whatever the batch size.
        size: edge of the images wanted.
    """

    def __init__(self, base: Base, settings: LoraSampling, seed: int, scope: Scope, size: int):
        self.base, self.settings, self.seed, self.scope, self.size = base, settings, seed, scope, size
        self._batches = HalvingBatches(f"lora sample {scope}", settings.sample_batch)
        self._switch = AdapterSwitch(base)
        self._embeddings = torch.cat([base.embed(""), base.embed(settings.instance_prompt)])

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *_: object) -> None:
        self._switch.clear()

    def load(self, path: str | Path) -> None:
        """Put an adapter into the UNet in place of the last; `InputError` where it belongs to another base."""
        self._switch.load(path)

    def draw(self, label: str, start: int, stop: int) -> np.ndarray:
        """Images ``start`` to ``stop - 1`` of a label's endless sequence, uint8 (stop - start, size, size) grey.

        Out of GPU memory the batch is halved, with a line on stderr.
        """

        def some(rows: Sequence[int]) -> np.ndarray:
            seeds = [derive_seed(self.seed, label, self.scope, i) for i in rows]
            noise = initial_noise(self.base, self.settings.size, seeds)
            precision = self.settings.precision
            return draw_images(self.base, noise, self._embeddings, self.settings, precision, self.size)

        return np.concatenate(self._batches.run(some, [range(start, stop)]))


def initial_noise(base: Base, pixels: int, seeds: Sequence[int]) -> Tensor:
    """float32 (len(seeds), C, h, w) standard normal latents, each a function of its seed alone.

    Args:
        pixels: edge that the pipeline works at.
    """
    edge = pixels // halving(base)
    shape = (base.unet.config.in_channels, edge, edge)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def halving(base: Base) -> int:
    """Pixels that one position of the latents stands for, along an edge."""
    return 2 ** (len(base.vae.config.block_out_channels) - 1)


@torch.inference_mode()
def draw_images(
    base: Base, noise: Tensor, embeddings: Tensor, settings: Denoising, precision: str, size: int
) -> np.ndarray:
    """Latents from noise, then grey images; the stock pipeline's own computation.

    Args:
        noise: (B, C, h, w) standard normal.
        embeddings: (2, tokens, width) of the empty prompt and of the prompt.
        settings: steps, guidance, and the part of the noise schedule in which it acts (Kynkaanniemi et al. 2024,
            arXiv:2404.07724); outside it a step costs half.
        precision: as `waferbench.learning.runtime.autocast` takes it.
        size: edge of the images wanted.

    Returns:
        uint8 (B, size, size).
    """
    device, guidance = base.unet.device, settings.guidance
    scheduler = unipc(base)
    scheduler.set_timesteps(settings.sampler_steps, device=device)
    low, high = settings.guidance_interval
    latents = noise.to(device) * scheduler.init_noise_sigma
    for time in scheduler.timesteps:
        guided = guidance > 1 and low <= float(time) / scheduler.config.num_train_timesteps <= high
        prompts = (embeddings if guided else embeddings[1:]).repeat_interleave(len(noise), 0).to(device)
        both = scheduler.scale_model_input(torch.cat([latents, latents]) if guided else latents, time)
        with autocast(device, precision):
            predicted = base.unet(both, time, encoder_hidden_states=prompts, return_dict=False)[0].float()
        if guided:
            empty, prompted = predicted.chunk(2)
            predicted = empty + guidance * (prompted - empty)
        latents = scheduler.step(predicted, time, latents, return_dict=False)[0]
    latents = latents / base.vae.config.scaling_factor
    pixels = latents.shape[-1] * halving(base)
    at_once = max(1, ENCODE_PIXELS // pixels**2)
    with autocast(device, precision):
        return np.concatenate([to_grey(base.vae.decode(part).sample, size) for part in latents.split(at_once)])


def unipc(base: Base) -> UniPCMultistepScheduler:
    """UniPC of order 2, variant bh2, predicting x0, on the base's noise schedule."""
    return UniPCMultistepScheduler.from_config(
        base.scheduler.config, solver_order=2, solver_type="bh2", predict_x0=True
    )
