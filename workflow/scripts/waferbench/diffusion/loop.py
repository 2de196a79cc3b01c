"""One resumable training loop for the autoencoder, the UNet and the adapters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from waferbench.errors import InputError
from waferbench.progress import progress
from waferbench.runtime import Checkpoint
from waferbench.seeds import derive_seed

CHECK_EVERY = 50  # steps between two looks at the losses and the clock


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step: a function of the step alone, so a resumed run needs no random state."""
    return torch.Generator().manual_seed(derive_seed(seed, step))


def mixed_precision(device: torch.device) -> AbstractContextManager:
    """bfloat16 autocast on a GPU; float32, and so repeatable bytes, on a CPU."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def cosine(step: int, steps: int) -> float:
    """Factor of the learning rate: a linear start over the first 5% of the steps, then a cosine to 0."""
    start = max(1, steps // 20)
    if step < start:
        return (step + 1) / start
    return 0.5 * (1 + math.cos(math.pi * (step - start) / max(1, steps - start)))


def constant(step: int, steps: int) -> float:
    """Factor of the learning rate: 1 throughout."""
    return 1.0


def fit(
    name: str,
    parameters: Mapping[str, nn.Parameter],
    loss_of_step: Callable[[int], Tensor],
    steps: int,
    lr: float,
    checkpoint: Checkpoint,
    schedule: Callable[[int, int], float] = cosine,
    weight_decay: float = 0.0,
    clip: float = 1.0,
) -> np.ndarray:
    """Minimise a loss with AdamW, from the checkpoint where there is one.

    Args:
        name: for the progress bar and the error.
        parameters: what is trained, by name; changed in place.
        loss_of_step: scalar loss of step 0, 1, ...; all its randomness a function of the step.
        schedule: factor of ``lr`` at a step.
        clip: largest norm of the gradient; 0 = unbounded.

    Returns:
        float32 (steps,), the loss of each step. On a CPU a killed and resumed run gives the same bytes.

    Raises:
        InputError: the loss is no longer finite.
    """
    trained = list(parameters.values())
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=weight_decay, fused=True)
    start, losses = _resume(checkpoint, parameters, optimizer, steps)
    for step in progress(range(start, steps), name):
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(step, steps)
        loss = loss_of_step(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        losses[step] = loss.detach()
        last = step + 1 == steps
        if (step + 1) % CHECK_EVERY and not last:
            continue
        _verify(name, losses[: step + 1], lr)
        if checkpoint.due or last:
            checkpoint.save(
                {
                    "step": step + 1,
                    "losses": losses.cpu(),
                    "parameters": {key: value.detach() for key, value in parameters.items()},
                    "optimizer": optimizer.state_dict(),
                }
            )
    return losses.cpu().numpy()


def _resume(
    checkpoint: Checkpoint, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, steps: int
) -> tuple[int, Tensor]:
    losses = torch.zeros(steps, device=next(iter(parameters.values())).device)
    state = checkpoint.load()
    if state is None:
        return 0, losses
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(state["parameters"][key])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], losses.copy_(state["losses"])


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
