"""One resumable training loop over epochs, for networks that are judged after each: classifiers, segmentation."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

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
    batch: examples a step; a last batch of a single one is left out, as batch statistics need two.
    epochs: times that all of them are seen.
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
    epochs: int
    schedule: Callable[[int, int], float] = constant
    ema: float = 0.0
    clip: float = 0.0
    scaled: bool = False
    score: str = "val_accuracy"
    if_not_finite: str = "lower the learning rate"
    if_too_large: str = "take smaller batches"


def fit_epochs(
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

    Each epoch is seeded by its number alone, so a run resumed from ``checkpoint`` is bit-equal on the CPU.

    Args:
        name: of what is trained: in its seeds, the progress bar and the errors.
        model: the network, where it is to be trained.
        loss_of: mean loss over some examples, from their rows int64 (B,) on the model's device and the epoch's random
            numbers, a generator on the CPU; all its randomness comes from there or from torch's global generators.
            The model is in training mode; half precision is the caller's.
        judge: the score of a network, not NaN: of the model itself, or of a copy of it with averaged parameters, which
            it puts into evaluation mode.
        optimizer: of the model's parameters; its learning rates are the ones that ``plan.schedule`` scales.
        seed: with the name and the epoch's number it decides order and random numbers.

    Returns:
        One row per epoch: epoch, loss, the score, lr (of its last step; of the first group, where there are several).

    Raises:
        InputError: the loss is no longer finite, or the GPU's memory does not hold a batch.
    """
    device = next(model.parameters()).device
    rates = [group["lr"] for group in optimizer.param_groups]  # before an earlier state brings its own
    scaler = torch.amp.GradScaler(device.type, enabled=plan.scaled)
    average = Average(_moving(model), plan.ema)
    history: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    state = checkpoint.load()
    if state is not None:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        history, best = state["history"], state["best"]
    sizes = batch_sizes(plan.n, plan.batch)
    steps = plan.epochs * len(sizes)
    for epoch in progress(range(len(history), plan.epochs), f"{name} epochs"):
        seed_everything(derive_seed(seed, f"{name}-epoch", epoch))
        generator = torch.Generator().manual_seed(derive_seed(seed, f"{name}-order", epoch))
        order = torch.randperm(plan.n, generator=generator)
        model.train()
        total = torch.zeros((), device=device)
        for step, rows in enumerate(order[: sum(sizes)].split(sizes), epoch * len(sizes)):
            factor = plan.schedule(step, steps)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            with memory_bound(name, plan.if_too_large):
                loss = loss_of(rows.to(device), generator)
                optimizer.zero_grad(set_to_none=True)
                scaler.scale(loss).backward()
                if plan.clip:
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_([value for value in model.parameters() if value.requires_grad], plan.clip)
                scaler.step(optimizer)
                scaler.update()
            average.update(step + 1)
            total += loss.detach() * len(rows)
        if not torch.isfinite(total):
            raise InputError(f"{name}: the loss is not finite in epoch {epoch}; {plan.if_not_finite}")
        judged = _averaged(model, average)
        score = judge(judged)
        if math.isnan(score):
            raise ValueError(f"{name}: {plan.score} is not a number in epoch {epoch}")
        if not history or score >= max(row[plan.score] for row in history):
            best = {key: tensor.detach().cpu().clone() for key, tensor in judged.state_dict().items()}
        lr = optimizer.param_groups[0]["lr"]
        history.append({"epoch": epoch, "loss": float(total) / sum(sizes), plan.score: score, "lr": lr})
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


def batch_sizes(n: int, batch: int) -> list[int]:
    """Sizes of the batches of an epoch; a last one of a single example is left out, batch statistics need two."""
    sizes = [batch] * (n // batch) + ([n % batch] if n % batch > 1 else [])
    return sizes or [n]
