"""How the learning rate goes over a training."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate: a linear start, then half a cosine down to 0.

    Args:
        step: 0 to ``steps`` - 1.
        warmup: steps of the start; 0 = none.
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def cosine(step: int, steps: int) -> float:
    """`warmup_cosine` with the first 5% of the steps as its start."""
    return warmup_cosine(step, steps, max(1, steps // 20))


def constant(step: int, steps: int) -> float:
    """Factor of the learning rate: 1 throughout."""
    return 1.0
