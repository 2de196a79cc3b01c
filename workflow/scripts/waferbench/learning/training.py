"""One resumable training loop for what is trained by a loss alone: diffusion bases, adapters, die flows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from waferbench.base.errors import InputError
from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.learning.average import Average
from waferbench.learning.runtime import Checkpoint, memory_bound
from waferbench.learning.schedule import cosine

CHECK_EVERY = 50  # steps between two looks at the losses and the clock


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step: a function of the step alone, so a resumed run needs no random state."""
    return torch.Generator().manual_seed(derive_seed(seed, step))


def slices(batch: int, parts: int) -> list[slice]:
    """A batch in at most that many parts of nearly equal size, in order."""
    edges = np.linspace(0, batch, min(parts, batch) + 1).round().astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


class Training:
    """The state of a training by AdamW: parameters, their averages, optimiser, losses.

    Args:
        parameters: what is trained, by name; changed in place.
        ema: decay of the averages, 0 = none.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], steps: int, lr: float, weight_decay: float, ema: float):
        self.parameters, self.average, self.step = parameters, Average(parameters, ema), 0
        self.optimizer = torch.optim.AdamW(list(parameters.values()), lr=lr, weight_decay=weight_decay, fused=True)
        self.losses = torch.zeros(steps, device=next(iter(parameters.values())).device)

    def state_dict(self) -> dict:
        """Everything that the next step depends on, as `waferbench.learning.runtime.Checkpoint` takes it."""
        return {
            "step": self.step,
            "losses": self.losses.cpu(),
            "parameters": {name: value.detach() for name, value in self.parameters.items()},
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: Mapping) -> None:
        """Go on from a `state_dict`."""
        for name, value in self.parameters.items():
            value.copy_(state["parameters"][name])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.losses.copy_(state["losses"])
        self.step = state["step"]


def fit(
    name: str,
    parameters: Mapping[str, nn.Parameter],
    loss_of: Callable[[int, slice], Tensor],
    steps: int,
    batch: int,
    lr: float,
    checkpoint: Checkpoint,
    schedule: Callable[[int, int], float] = cosine,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    ema: float = 0.0,
    accumulate: int = 1,
) -> np.ndarray:
    """Minimise a loss with AdamW, from the checkpoint where there is one.

    Args:
        name: for the progress bar and the errors.
        parameters: what is trained, by name; changed in place, and set to their averages at the end if ``ema``.
        loss_of: mean loss over some rows of the batch of step 0, 1, ...; all its randomness a function of the step.
        batch: rows of one step.
        schedule: factor of ``lr`` at a step.
        clip: largest norm of the gradient; 0 = unbounded.
        ema: decay of the averaged parameters, 0 to below 1.
        accumulate: parts that a batch goes through the network in. Out of GPU memory they are doubled, with a line on
            stderr: the same gradient but for rounding, in less memory.

    Returns:
        float32 (steps,), the loss of each step. On a CPU a killed and resumed run gives the same bytes.

    Raises:
        InputError: the loss is no longer finite, or one row alone does not fit the GPU's memory.
    """
    training = Training(parameters, steps, lr, weight_decay, ema)
    state = checkpoint.load()
    if state is not None:
        training.load_state_dict(state)
    parts = accumulate
    for step in progress(range(training.step, steps), name):
        for group in training.optimizer.param_groups:
            group["lr"] = lr * schedule(step, steps)
        training.losses[step], parts = _backward(name, training.optimizer, loss_of, step, batch, parts)
        if clip:
            nn.utils.clip_grad_norm_(list(parameters.values()), clip)
        with memory_bound(name, "take a smaller network"):
            training.optimizer.step()
        training.step = step + 1
        training.average.update(training.step)
        last = training.step == steps
        if training.step % CHECK_EVERY and not last:
            continue
        _verify(name, training.losses[: training.step], lr)
        if checkpoint.due or last:
            checkpoint.save(training.state_dict())
    training.average.take()
    return training.losses.cpu().numpy()


def _backward(
    name: str,
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[int, slice], Tensor],
    step: int,
    batch: int,
    parts: int,
) -> tuple[Tensor, int]:
    """Gradient of one step's loss, part by part; the loss, and the parts that it took."""
    while True:
        optimizer.zero_grad(set_to_none=True)
        total, loss = torch.zeros(()), None
        try:
            for rows in slices(batch, parts):
                loss = loss_of(step, rows) * ((rows.stop - rows.start) / batch)
                loss.backward()
                total = total.to(loss.device) + loss.detach()
            return total, parts
        except torch.OutOfMemoryError:
            if parts >= batch:
                raise InputError(f"{name}: out of GPU memory even one by one; take a smaller network") from None
        loss = None  # it holds the graph that did not fit
        parts = min(2 * parts, batch)
        torch.cuda.empty_cache()
        print(f"{name}: out of GPU memory; from here on batches of {batch} in {parts} parts", file=sys.stderr)


def _verify(name: str, losses: Tensor, lr: float) -> None:
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        raise InputError(f"{name}: the loss is not finite from step {int(bad[0]) + 1} on; lower its lr ({lr})")


def named(modules: Iterable[tuple[str, nn.Module]]) -> dict[str, nn.Parameter]:
    """The trainable parameters of several modules, by ``module.parameter``."""
    return {
        f"{prefix}.{key}": value
        for prefix, module in modules
        for key, value in module.named_parameters()
        if value.requires_grad
    }
