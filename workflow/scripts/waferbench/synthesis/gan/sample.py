"""Drawing wafers from trained generators."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from waferbench.base.scope import Scope
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.sources import GanSampling
from waferbench.learning.runtime import HalvingBatches
from waferbench.synthesis.gan.networks import build_generator, to_grey

CHUNK = 64  # images drawn at once, always whole: a convolution's last bits may depend on the batch


class Sampler:
    """One generator in memory, whose weights are swapped.

    Args:
        settings: those that the generators were trained with.
        seed, scope: with the label they decide the latents.
    """

    def __init__(self, settings: GanSampling, seed: int, scope: Scope, device: torch.device):
        self.settings, self.seed, self.scope, self.device = settings, seed, scope, device
        self.model = build_generator(settings, device).eval()
        self.batches = HalvingBatches(f"gan sample {scope}", CHUNK)

    def load(self, generator_state: Mapping[str, torch.Tensor]) -> None:
        """Take the weights of a generator of `waferbench.synthesis.gan.train.train_gan`."""
        self.model.load_state_dict(dict(generator_state))

    @torch.no_grad()
    def draw(self, label: str, start: int, stop: int) -> np.ndarray:
        """Images ``start`` to ``stop - 1`` of an endless sequence that depends on weights, seed, label and scope.

        Image i is the same whatever ``start`` and ``stop`` are.

        Returns:
            uint8 (stop - start, S, S) grey.
        """
        first, end = start // CHUNK, -(-stop // CHUNK)
        # numpy fills value by value, so that a longer draw begins with the shorter one
        rng = np.random.default_rng(derive_seed(self.seed, "gan", "sample", label, self.scope))
        latents = rng.standard_normal((end * CHUNK, self.settings.latent), dtype=np.float32)[first * CHUNK :]

        def some(part: np.ndarray) -> np.ndarray:
            return to_grey(self.model(torch.from_numpy(part).to(self.device))).cpu().numpy()

        grey = self.batches.run(some, [latents])
        return np.concatenate(grey)[start - first * CHUNK : stop - first * CHUNK]
