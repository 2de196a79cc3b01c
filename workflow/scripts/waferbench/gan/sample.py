"""Drawing wafers from a trained generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from waferbench.gan.networks import build_generator, to_grey
from waferbench.gan.sizes import image_size
from waferbench.seeds import derive_seed

CHUNK = 64  # images drawn at once, always whole: a convolution's last bits may depend on the batch


@torch.no_grad()
def sample(
    generator_state: Mapping[str, torch.Tensor],
    n: int,
    settings: Mapping[str, Any],
    seed: int,
    label: str,
    scope: str,
    device: torch.device,
    start: int = 0,
) -> np.ndarray:
    """Images ``start`` to ``start + n - 1`` of an endless sequence that depends on weights, seed, label and scope.

    Image i is the same whatever ``start`` and ``n`` are.

    Args:
        generator_state: a generator of `waferbench.gan.train.train_gan`.
        settings: the source's settings that it was trained with.
        seed, label, scope: what the latents are drawn from.

    Returns:
        uint8 (n, S, S) grey.
    """
    size = image_size(settings)
    if n <= 0:
        return np.zeros((0, size, size), np.uint8)
    model = build_generator(settings, device)
    model.load_state_dict(dict(generator_state))
    model.eval()
    first, end = start // CHUNK, -(-(start + n) // CHUNK)
    # numpy fills value by value, so that a longer draw begins with the shorter one
    rng = np.random.default_rng(derive_seed(seed, "gan", "sample", label, scope))
    latents = rng.standard_normal((end * CHUNK, settings["latent"]), dtype=np.float32)[first * CHUNK :]
    grey = [to_grey(model(torch.from_numpy(part).to(device))).cpu().numpy() for part in np.split(latents, end - first)]
    offset = start - first * CHUNK
    return np.concatenate(grey)[offset : offset + n]
