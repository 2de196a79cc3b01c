"""Offsets of the classes' logits: what is called moves from accuracy, which a loss aims at, to macro-F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.classification.scores import macro_f1

CANDIDATES = np.linspace(-2, 2, 41)  # of one offset; e^2: a class called at a seventh of the others' probability
SWEEPS = 10
TINY = 1e-30  # a probability of zero has no logarithm


def tune_offsets(probabilities: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The offsets that give the largest macro-F1, found one class after another until none moves.

    Args:
        probabilities: float (N, K), of validation wafers. y: int (N,).

    Returns:
        float64 (K,); of a class's equally good offsets 0, or else the middle one of those next to 0. A class that no
        wafer here is of keeps 0.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), TINY))
    offsets = np.zeros(logits.shape[1])
    for _ in range(SWEEPS):
        before = offsets.copy()
        for k in np.unique(y):
            offsets[k] = _best(logits, offsets, y, k)
        if np.array_equal(before, offsets):
            break
    return offsets


def _best(logits: np.ndarray, offsets: np.ndarray, y: np.ndarray, k: int) -> float:
    """The best offset of one class, the others held."""
    others = logits + offsets
    others[:, k] = -np.inf
    rival, margin = others.argmax(1), others.max(1) - logits[:, k]
    scores = [macro_f1(y, np.where(margin < offset, k, rival), logits.shape[1]) for offset in CANDIDATES]
    best = np.flatnonzero(np.asarray(scores) >= max(scores) - 1e-12)
    nearest = best[np.abs(CANDIDATES[best]).argmin()]
    if abs(CANDIDATES[nearest]) < 1e-9:
        return 0.0
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    run = next(run for run in runs if nearest in run)
    return float(CANDIDATES[run[len(run) // 2]])


def moved(probabilities: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Probabilities (N, K), of logits that have been moved by offsets (K,): float32 (N, K)."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), TINY)) + offsets
    weights = np.exp(logits - logits.max(1, keepdims=True))
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def cross_fitted(probabilities: np.ndarray, y: np.ndarray, ids: Sequence[str]) -> np.ndarray:
    """Probabilities (N, K), moved by offsets that were tuned on other wafers: float32 (N, K).

    Wafers are halved, and each half gets the offsets of the other one. Offsets that have seen the very wafers they are
    scored on would flatter them, and with that a choice made on validation wafers.

    Args:
        probabilities, y: as of `tune_offsets`.
        ids: N names of wafers; each class is halved in the order of their hashes.
    """
    order, half = np.argsort([derive_seed("half", one) for one in ids], kind="stable"), np.empty(len(y), int)
    for k in np.unique(y):
        mine = order[y[order] == k]
        half[mine] = np.arange(len(mine)) % 2
    found = np.empty(probabilities.shape, np.float32)
    for number in (0, 1):
        mine, other = half == number, half != number
        found[mine] = moved(probabilities[mine], tune_offsets(probabilities[other], y[other]))
    return found


@torch.no_grad()
def move_head(model: nn.Module, offsets: np.ndarray, name: str) -> None:
    """Add offsets (K,) to the bias of a network's head, in place: whoever loads the weights calls alike.

    Raises:
        InputError: the head has no bias.
    """
    bias = getattr(model.get_classifier(), "bias", None)
    if bias is None:
        raise InputError(
            f"classifier.logit_offsets: the head of {name} has no bias to hold them; set it to false (recipe: plain) "
            "or take another backbone"
        )
    bias += torch.as_tensor(offsets, dtype=bias.dtype, device=bias.device)
