"""Simulated wafers that generators are pretrained on before they see a study's own."""

from __future__ import annotations

import numpy as np

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.simulate.patterns import CLASSES

# What else a base knows than the wafers it was shown: the ranges that the simulator draws from.
TUNED_ON = "failing fractions, die grids and radial profiles of WM-811K's labelled part"


def base_wafers(count: int, seed: int, variant: str) -> list[np.ndarray]:
    """Wafers of all nine classes in equal shares, shuffled, without their names.

    Args:
        count: wafers, at least one.
        seed: of every random choice; none of these wafers is one that a study simulates from the same seed.
        variant: of `waferbench.wafers.simulate.grids.VARIANTS`.

    Returns:
        Maps, uint8 (rows, columns) of 0 off, 1 pass, 2 fail.

    Raises:
        InputError: fewer than one wafer, or an unknown variant.
    """
    if count < 1:
        raise InputError(f"a base is to be pretrained on {count} wafers; ask for at least one")
    share, rest = divmod(count, len(CLASSES))
    counts = {name: share + (i < rest) for i, name in enumerate(CLASSES)}
    maps, _, _ = simulate(counts, derive_seed(seed, "base wafers"), duplicates=0.0, variant=variant)
    return maps


def seen_by_base(count: int, variant: str) -> dict[str, object]:
    """What a base pretrained on `base_wafers` has seen, for its provenance."""
    return {"pretrained_on": {"simulated_wafers": count, "variant": variant, "simulator_tuned_on": TUNED_ON}}
