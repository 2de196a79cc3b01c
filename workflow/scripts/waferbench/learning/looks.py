"""One resumable training loop of so many steps, for networks that are judged now and then: classifiers, segmentation.

All that is compared takes equally many steps, of equally large batches, and is judged equally often, whatever it is
trained on: with passes over the examples instead, whatever has more examples is trained for longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from waferbench.base.errors import InputError
from waferbench.base.progress import progress
from waferbench.base.seeds import derive_seed
from waferbench.learning.average import Average
from waferbench.learning.runtime import Checkpoint, memory_bound, seed_everything
from waferbench.learning.schedule import constant

LossOf = Callable[[Tensor, torch.Generator], Tensor]
Judge = Callable[[nn.Module], float]


@dataclass(frozen=True)
class Plan:
    """How a network goes through its training examples.

    n: examples there are.
    batch: examples of every step.
    steps: optimiser steps.
    looks: times that the network is judged, evenly spaced, the last one after the last step; at most one a step.
    schedule: factor of the optimizer's learning rates at a step, of so many.
    ema: decay of the averaged weights, which are then what is judged and kept; 0 = none.
    clip: largest norm of the gradient; 0 = unbounded.
    scaled: whether losses are scaled up, as the gradients of float16 need it.
    score: what the judge's number is called in the history.
    if_not_finite, if_too_large: what to do about a loss that is not finite, and a network that the GPU's memory does
        not hold; the ends of the two errors.
    """

    n: int
    batch: int
    steps: int
    looks: int
    schedule: Callable[[int, int], float] = constant
    ema: float = 0.0
    clip: float = 0.0
    scaled: bool = False
    score: str = "val_accuracy"
    if_not_finite: str = "lower the learning rate"
    if_too_large: str = "take smaller batches"

    def edges(self) -> list[int]:
        """The steps before each look, 0 in front: looks + 1 rising numbers."""
        return [round(look * self.steps / self.looks) for look in range(self.looks + 1)]


class Passes:
    """Batches out of an endless sequence of passes over the examples, each pass in a random order of its own.

    Every batch is whole: it goes on into the next pass where one ends within it.

    Args:
        n: examples there are. batch: examples of a batch.
        seed: with a pass's number it decides that pass's order.
    """

    def __init__(self, n: int, batch: int, seed: int):
        self.n, self.batch, self.seed = n, batch, seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, step: int) -> Tensor:
        """int64 (batch,): the examples of step 0, 1, ..., a function of its number alone."""
        parts, start, stop = [], step * self.batch, (step + 1) * self.batch
        while start < stop:
            number, at = divmod(start, self.n)
            parts.append(self._order(number)[at : at + stop - start])
            start += len(parts[-1])
        return torch.cat(parts)

    def _shuffled(self, number: int) -> Tensor:
        return torch.randperm(self.n, generator=torch.Generator().manual_seed(derive_seed(self.seed, "pass", number)))


def steps_of_epochs(n: int, batch: int, epochs: int) -> int:
    """Steps that see n examples so many times: unequal where n is."""
    return epochs * math.ceil(n / batch)


def fit_steps(
    name: str,
    model: nn.Module,
    loss_of: LossOf,
    judge: Judge,
    plan: Plan,
    optimizer: torch.optim.Optimizer,
    seed: int,
    checkpoint: Checkpoint,
) -> list[dict[str, float]]:
    """Train in place; the model ends with the weights of the largest score (the latest of equals).

    What lies between two looks is seeded by the look's number alone, and the state is kept at each look: a run resumed
    from ``checkpoint`` is bit-equal on the CPU.

    Args:
        name: of what is trained: in its seeds, the progress bar and the errors.
        model: the network, where it is to be trained.
        loss_of: mean loss over some examples, from their rows int64 (B,) on the model's device and random numbers, a
            generator on the CPU; all its randomness comes from there or from torch's global generators. The model is in
            training mode; half precision is the caller's.
        judge: the score of a network, not NaN: of the model itself, or of a copy of it with averaged parameters, which
            it puts into evaluation mode.
        optimizer: of the model's parameters; its learning rates are the ones that ``plan.schedule`` scales.
        seed: with the name it decides orders and random numbers.

    Returns:
        One row per look: step (done by then), loss (mean since the look before), the score, lr (of the last step; of
        the first group, where there are several).

    Raises:
        InputError: the loss is no longer finite, or the GPU's memory does not hold a batch.
    """
    device = next(model.parameters()).device
    rates = [group["lr"] for group in optimizer.param_groups]  # before an earlier state brings its own
    scaler = torch.amp.GradScaler(device.type, enabled=plan.scaled)
    average = Average(_moving(model), plan.ema)
    passes = Passes(plan.n, plan.batch, derive_seed(seed, f"{name}-order"))
    history: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    state = checkpoint.load()
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        history, best = state["history"], state["best"]
    parts = list(enumerate(pairwise(plan.edges())))[len(history) :]
    for look, (start, stop) in progress(parts, f"{name}, looks at validation"):
        seed_everything(derive_seed(seed, f"{name}-look", look))
        generator = torch.Generator().manual_seed(derive_seed(seed, f"{name}-draws", look))
        model.train()
        total = torch.zeros((), device=device)
        for step in range(start, stop):
            factor = plan.schedule(step, plan.steps)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            with memory_bound(name, plan.if_too_large):
                loss = loss_of(passes.rows(step).to(device), generator)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                if plan.clip:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_([value for value in model.parameters() if value.requires_grad], plan.clip)
                scaler.step(optimizer)
                scaler.update()
            average.update(step + 1)
            total += loss.detach()
        if not torch.isfinite(total):
            raise InputError(f"{name}: the loss is not finite within {stop} steps; {plan.if_not_finite}")
        judged = _averaged(model, average)
        score = judge(judged)
        if math.isnan(score):
            raise ValueError(f"{name}: {plan.score} is not a number after {stop} steps")
        if not history or score >= max(row[plan.score] for row in history):
            best = {key: tensor.detach().cpu().clone() for key, tensor in judged.state_dict().items()}
        lr = optimizer.param_groups[0]["lr"]
        history.append({"step": stop, "loss": float(total) / (stop - start), plan.score: score, "lr": lr})
        checkpoint.save(
            {
                "model": model.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "history": history,
                "best": best,
            }
        )
    model.load_state_dict(best)
    return history


def _moving(model: nn.Module) -> dict[str, Tensor]:
    """What a training changes: parameters, and batch statistics, which must lag as the averaged weights do."""
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    return trained | {name: value for name, value in model.named_buffers() if value.is_floating_point()}


def _averaged(model: nn.Module, average: Average) -> nn.Module:
    """The model, or a copy of it with averaged values."""
    if not average.decay:
        return model
    copied = deepcopy(model)
    copied.load_state_dict(average.state_dict(), strict=False)
    return copied
