"""What scores do not tell apart, by the rule of one standard error."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # scores are fractions: what is smaller than this is not a difference


def tied(leads: np.ndarray) -> bool:
    """Whether the best is not told from another one: the mean of its leads is at most one standard error.

    Args:
        leads: float (n,), n >= 2, by how much it is ahead in each fold.
    """
    return bool(leads.mean() <= leads.std(ddof=1) / np.sqrt(len(leads)) + ROUNDING)
