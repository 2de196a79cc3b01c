"""Draws images: UniPC steps (Zhao et al. 2023), guided away from the frozen base or from the empty prompt.

What makes a class is in its adapter alone: all images share one prompt, so that the empty prompt beside it, which has
the adapter as well, says nothing of the class. The class's direction is from the base without the adapter to the base
with it: ``v_base + w (v_adapter - v_base)`` (Karras et al. 2024, arXiv:2406.02507; Kasymov et al. 2024,
arXiv:2410.03941). The empty prompt, as published, is classifier-free guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from waferbench.base.errors import InputError
from waferbench.base.scope import Scope
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import Denoising, LoraSampling
from waferbench.learning.runtime import HalvingBatches, autocast
from waferbench.synthesis.diffusion.adapters import AdapterSwitch
from waferbench.synthesis.diffusion.base import Base, require_size
from waferbench.synthesis.diffusion.latents import decode, halving


class Sampler:
    """Draws from one UNet in memory, whose adapters are swapped; as a context it leaves the UNet pristine.

    Args:
        base: the base that the adapters were trained on, on the device to sample on.
        settings: of the source.
        seed, scope: with the label and the image's position they decide its noise, whatever the batch size.
        size: edge of the images wanted.

    Raises:
        InputError: the base works at another size.
    """

    def __init__(self, base: Base, settings: LoraSampling, seed: int, scope: Scope, size: int):
        require_size(base.unet, base.vae, settings.size)
        self.base, self.settings, self.seed, self.scope, self.size = base, settings, seed, scope, size
        self._batches = HalvingBatches(f"lora sample {scope}", settings.sample_batch)
        self._switch = AdapterSwitch(base)
        self._embeddings = torch.cat([base.embed(""), base.embed(settings.instance_prompt)])

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *_: object) -> None:
        self._switch.clear()

    def load(self, path: str | Path) -> None:
        """Put an adapter into the UNet in place of the last; `InputError` where it belongs to another base, or where it
        adds nothing that guidance could go by."""
        self._switch.load(path)
        if guides(self.settings) == "base" and not self._switch.adapts:
            raise InputError(
                f"{path}: the adapter adds nothing to its base, and guidance {self.settings.guidance} against the base "
                "has no direction; raise alpha and train it anew, or set guidance to 1"
            )

    def draw(self, label: str, start: int, stop: int) -> np.ndarray:
        """Images ``start`` to ``stop - 1`` of a label's endless sequence, uint8 (stop - start, size, size) grey.

        Out of GPU memory the batch is halved, with a line on stderr.
        """

        def some(rows: Sequence[int]) -> np.ndarray:
            seeds = [derive_seed(self.seed, label, self.scope, i) for i in rows]
            noise = initial_noise(self.base, self.settings.size, seeds)
            precision = self.settings.precision
            frozen = self._switch.disabled
            return draw_images(self.base, noise, self._embeddings, self.settings, precision, self.size, frozen)

        return np.concatenate(self._batches.run(some, [range(start, stop)]))


def initial_noise(base: Base, pixels: int, seeds: Sequence[int]) -> Tensor:
    """float32 (len(seeds), C, h, w) standard normal latents, each a function of its seed alone.

    Args:
        pixels: edge that the pipeline works at.
    """
    edge = pixels // halving(base.vae)
    shape = (base.unet.config.in_channels, edge, edge)
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def guides(settings: Denoising) -> Literal["base", "prompt", ""]:
    """What images are guided away from; "" where nothing guides."""
    return settings.guidance_against if settings.guidance > 1 else ""


@torch.inference_mode()
def draw_images(
    base: Base,
    noise: Tensor,
    embeddings: Tensor,
    settings: Denoising,
    precision: str,
    size: int,
    frozen: Callable[[], AbstractContextManager] | None = None,
) -> np.ndarray:
    """Latents from noise, then grey images; guided by the prompt or not at all it is the stock pipeline's computation.

    Args:
        noise: (B, C, h, w) standard normal.
        embeddings: (2, tokens, width) of the empty prompt and of the prompt.
        settings: steps, guidance, and the part of the noise schedule in which it acts (Kynkaanniemi et al. 2024,
            arXiv:2404.07724); outside it a step costs half.
        precision: as `waferbench.learning.runtime.autocast` takes it.
        size: edge of the images wanted.
        frozen: takes the adapter out of the UNet for as long as its context is open.

    Returns:
        uint8 (B, size, size).

    Raises:
        InputError: guidance against the base where there is no adapter that could be taken out.
    """
    device, against = base.unet.device, guides(settings)
    if against == "base" and frozen is None:
        raise InputError(
            f"guidance {settings.guidance} against the base, but no adapter is in the UNet: there is nothing to guide; "
            "set guidance to 1 or guidance_against to prompt"
        )
    empty, prompt = (embedding.to(device).expand(len(noise), -1, -1) for embedding in embeddings)
    scheduler = unipc(base)
    scheduler.set_timesteps(settings.sampler_steps, device=device)
    low, high = settings.guidance_interval
    latents = noise.to(device) * scheduler.init_noise_sigma

    def predict(latents: Tensor, prompts: Tensor, time: Tensor) -> Tensor:
        with autocast(device, precision):
            return base.unet(latents, time, encoder_hidden_states=prompts, return_dict=False)[0].float()

    for time in scheduler.timesteps:
        entering = scheduler.scale_model_input(latents, time)
        if not low <= float(time) / scheduler.config.num_train_timesteps <= high or not against:
            predicted = predict(entering, prompt, time)
        elif against == "prompt":
            both = predict(torch.cat([entering, entering]), torch.cat([empty, prompt]), time)
            predicted = away(*both.chunk(2), settings.guidance)
        else:
            with frozen():
                weak = predict(entering, prompt, time)
            predicted = away(weak, predict(entering, prompt, time), settings.guidance)
        latents = scheduler.step(predicted, time, latents, return_dict=False)[0]
    return decode(base.vae, latents, size, precision)


def away(weak: Tensor, strong: Tensor, weight: float) -> Tensor:
    """A prediction moved from the weaker one beyond the stronger: ``weak + weight (strong - weak)``."""
    return weak + weight * (strong - weak)


def unipc(base: Base) -> UniPCMultistepScheduler:
    """UniPC of order 2, variant bh2, predicting x0, on the base's noise schedule."""
    return UniPCMultistepScheduler.from_config(
        base.scheduler.config, solver_order=2, solver_type="bh2", predict_x0=True
    )
