"""The whole state of one adversarial training, and its rounds."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from waferbench.config.synthesis.sources import Gan
from waferbench.learning.average import Average
from waferbench.learning.runtime import autocast
from waferbench.synthesis.gan.health import PROBE, Health
from waferbench.synthesis.gan.losses import hinge_discriminator, hinge_generator
from waferbench.synthesis.gan.networks import Generator, build_discriminator, build_generator, from_grey

STANDING_BATCHES = 8  # batches that the batch norm's sampling statistics are taken from
NOT_HEALTHY = "; these weights are kept all the same, as no earlier ones were healthy"
METRICS = ("loss_d", "loss_g", "d_real", "d_fake")

State = dict[str, Tensor]


@dataclass(frozen=True)
class Trained:
    """One finished stage.

    generator: weights that it samples with, averaged where the settings ask for it. raw, discriminator: the two
    networks as they trained against each other; average: the generator's averaged parameters, empty without. These
    three are what another training goes on from. metrics: (rounds, 4), see `METRICS`. facts: what happened.
    """

    generator: State
    raw: State
    average: State
    discriminator: State
    metrics: np.ndarray
    facts: dict[str, Any]


class Training:
    """The whole state of one adversarial training: networks, averages, optimisers, random numbers, health."""

    def __init__(self, images: np.ndarray, settings: Gan, seed: int, device: torch.device):
        self.settings, self.device = settings, device
        self.images = torch.from_numpy(np.ascontiguousarray(images)).to(device)
        self.rng = torch.Generator().manual_seed(seed)
        self.generator = build_generator(settings, device)
        self.discriminator = build_discriminator(settings, device)
        if settings.compile:
            torch._dynamo.config.suppress_errors = True  # what cannot be compiled runs as it is
            self.generator.compile()
            self.discriminator.compile()
        self.average = Average(dict(self.generator.named_parameters()), settings.ema)
        fused = device.type in ("cpu", "cuda")
        adam = partial(torch.optim.Adam, betas=settings.betas, fused=fused)
        self.adam_g = adam(self.generator.parameters(), lr=settings.lr_generator)
        self.adam_d = adam(self.discriminator.parameters(), lr=settings.lr_discriminator)
        self.iteration = self.generator_steps = 0
        self.pending: list[Tensor] = []  # metrics still on the device
        self.metrics = torch.zeros(0, len(METRICS))
        self.reason = ""
        self.health = Health.beside(self._usual())
        self.healthy = self._snapshot()

    def begin_from(self, trained: Trained) -> None:
        """Take over an earlier training's networks as they met each other, and its average; the optimisers start anew.

        A discriminator is no match for averaged weights: it has never seen an image of theirs.
        """
        self.generator.load_state_dict(trained.raw)
        self.discriminator.load_state_dict(trained.discriminator)
        self.average.load_state_dict(trained.average)
        self.healthy = self._snapshot()

    def round(self) -> None:
        """``steps_discriminator`` steps of the discriminator, then ``steps_generator`` of the generator."""
        self.discriminator.requires_grad_(True)
        for _ in range(self.settings.steps_discriminator):
            loss_d, d_real, d_fake = self._discriminator_step()
        self.discriminator.requires_grad_(False)
        for _ in range(self.settings.steps_generator):
            loss_g = self._generator_step()
        self.pending.append(torch.stack([loss_d, loss_g, d_real, d_fake]))
        self.iteration += 1

    def _discriminator_step(self) -> tuple[Tensor, Tensor, Tensor]:
        real = self._real()
        with self._autocast():
            with torch.no_grad():
                fake = self.generator(self._latents(len(real)))
            scores_real, scores_fake = self.discriminator(torch.cat([real, fake])).float().chunk(2)
        loss = hinge_discriminator(scores_real, scores_fake)
        self.adam_d.zero_grad(set_to_none=True)
        loss.backward()
        self.adam_d.step()
        return loss.detach(), scores_real.detach().mean(), scores_fake.detach().mean()

    def _generator_step(self) -> Tensor:
        with self._autocast():
            fake = self.generator(self._latents(self.settings.batch))
            loss = hinge_generator(self.discriminator(fake).float())
        self.adam_g.zero_grad(set_to_none=True)
        loss.backward()
        self.adam_g.step()
        self.generator_steps += 1
        self.average.update(self.generator_steps)
        return loss.detach()

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.device, self.settings.precision)

    def _latents(self, number: int) -> Tensor:
        return torch.randn(number, self.settings.latent, generator=self.rng).to(self.device, non_blocking=True)

    def _real(self) -> Tensor:
        """A batch of real images."""
        return self._draw(self.settings.batch, self.rng)

    def _usual(self) -> Tensor:
        """Real images for the health to look at, by random numbers of their own."""
        return self._draw(PROBE, torch.Generator().manual_seed(0))

    def _draw(self, batch: int, rng: torch.Generator) -> Tensor:
        """Real images, with replacement where there are fewer of them than a batch."""
        number = len(self.images)
        if number < batch:
            picked = torch.randint(number, (batch,), generator=rng)
        else:
            picked = torch.randperm(number, generator=rng)[:batch]
        grey = self.images[picked.to(self.device, non_blocking=True)]
        if self.settings.augment:
            coins = torch.randint(2, (3, batch, 1, 1), generator=rng).bool().to(self.device, non_blocking=True)
            grey = dihedral(grey, coins)
        return from_grey(grey).contiguous(memory_format=torch.channels_last)

    def check(self, last: bool = False) -> None:
        """Fetch the metrics; keep the weights if all is well, set ``reason`` if the training has diverged.

        Where no check before was good, the weights of a collapse are kept: those that this training started from know
        nothing of its wafers.
        """
        fetched = torch.stack(self.pending).cpu()
        self.pending = []
        self.metrics = torch.cat([self.metrics, fetched])
        rng = torch.Generator().manual_seed(0)  # its own latents: looking must not change the training
        latents = torch.randn(PROBE, self.settings.latent, generator=rng).to(self.device)
        with torch.no_grad():
            probe = deepcopy(self.generator)(latents)
        self.reason = self.health.check(fetched, self.generator.parameters(), probe, last)
        # At the end a saturation too short to be called a divergence does not cost the last rounds.
        if not self.reason and (self.health.good or last):
            self.healthy = self._snapshot()
        elif self.reason and self.health.finite and not self.healthy["iteration"]:
            self.healthy = self._snapshot()
            self.reason += NOT_HEALTHY

    def _snapshot(self) -> dict[str, Any]:
        """Copies of the weights as they are now."""
        return {
            "iteration": self.iteration,
            "generator": _copy(self.generator.state_dict()),
            "average": _copy(self.average.state_dict()),
            "discriminator": _copy(self.discriminator.state_dict()),
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on, as `waferbench.learning.runtime.Checkpoint` takes it."""
        return {
            "iteration": self.iteration,
            "generator_steps": self.generator_steps,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "average": self.average.state_dict(),
            "adam_g": self.adam_g.state_dict(),
            "adam_d": self.adam_d.state_dict(),
            "rng": self.rng.get_state(),
            "metrics": self.metrics,
            "pending": [row.cpu() for row in self.pending],
            "reason": self.reason,
            "collapsed": self.health.collapsed,
            "saturated": self.health.saturated,
            "healthy": self.healthy,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self.iteration, self.generator_steps = state["iteration"], state["generator_steps"]
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.average.load_state_dict(state["average"])
        self.adam_g.load_state_dict(state["adam_g"])
        self.adam_d.load_state_dict(state["adam_d"])
        self.rng.set_state(state["rng"])
        self.metrics, self.pending = state["metrics"], [row.to(self.device) for row in state["pending"]]
        self.reason, self.healthy = state["reason"], state["healthy"]
        self.health.collapsed, self.health.saturated = state["collapsed"], state["saturated"]

    def result(self) -> Trained:
        """The last healthy weights, the generator's batch norm set for sampling, and what happened."""
        generator = build_generator(self.settings, self.device)
        raw, average = self.healthy["generator"], self.healthy["average"]
        generator.load_state_dict({**raw, **average})
        set_standing_statistics(generator, self.settings.batch)
        facts = {
            "converged": not self.reason,
            "reason": self.reason,
            "iterations": self.healthy["iteration"],
            "images": len(self.images),
            "with_replacement": len(self.images) < self.settings.batch,
        }
        sampling, against = _copy(generator.state_dict()), self.healthy["discriminator"]
        return Trained(sampling, raw, average, against, self.metrics.numpy(), facts)


def dihedral(images: Tensor, coins: Tensor) -> Tensor:
    """Each image under one of the square's eight symmetries.

    Args:
        images: (B, S, S).
        coins: bool (3, B, 1, 1): mirror left-right, mirror up-down, transpose.
    """
    images = torch.where(coins[0], images.flip(2), images)
    images = torch.where(coins[1], images.flip(1), images)
    return torch.where(coins[2], images.transpose(1, 2), images)


@torch.no_grad()
def set_standing_statistics(generator: Generator, batch: int) -> None:
    """Batch norm statistics for sampling, averaged over fresh latents (Brock et al. 2019, arXiv:1809.11096).

    Running averages of training lag behind averaged weights; these belong to the weights. Leaves ``eval`` mode.
    """
    norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    momentum = [norm.momentum for norm in norms]
    rng = torch.Generator().manual_seed(0)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    generator.train()
    for _ in range(STANDING_BATCHES):
        latents = torch.randn(max(batch, 2), generator.latent, generator=rng)
        generator(latents.to(next(generator.parameters()).device))
    for norm, value in zip(norms, momentum, strict=True):
        norm.momentum = value
    generator.eval()


def _copy(state: Mapping[str, Tensor]) -> State:
    return {name: tensor.detach().clone() for name, tensor in state.items()}
