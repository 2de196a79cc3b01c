"""The oracle: further real wafers in the place of synthetic ones, which is the most that a synthesizer could add.

In a simulated study they are fresh wafers of the same simulator; in a real one wafers that were withheld from all else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from waferbench.base.errors import InputError
from waferbench.base.names import labels_of
from waferbench.base.seeds import derive_seed
from waferbench.config.study import Simulator
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.table import canonical_hash
from waferbench.wafers.training import TrainingWafers

ROUNDS = 20  # of the simulator, before a class is given up whose wafers all are in the study


def reserved_wafers(reserve: TrainingWafers, most: int) -> dict[str, list[np.ndarray]]:
    """Label -> at most so many maps of the reserve, the first by content hash: the same ones on every machine.

    Raises:
        InputError: a class without a reserved wafer.
    """
    ranked = reserve.table.sort_values(["sha256", "wafer_id"], kind="stable")
    found = {label: ranked.loc[ranked["label"] == label, "row"].head(most) for label in reserve.classes}
    for label, rows in found.items():
        if rows.empty:
            raise InputError(f"oracle: no wafer of class {label!r} is in reserve; raise oracle.reserve or add wafers")
    return {label: reserve.store.take(rows) for label, rows in found.items()}


def fresh_wafers(
    classes: Sequence[str], number: int, simulator: Simulator, seed: int, known: Collection[str], batch: int = 0
) -> dict[str, list[np.ndarray]]:
    """Label -> so many simulated maps of lots of their own, none twice and none of the study.

    Args:
        classes: names of the simulator's classes.
        number: of each class. The first ``batch`` are the same whatever it is, and so are the next; 0 = all at once.
        simulator: as the study's own wafers were drawn.
        seed: of every random choice.
        known: canonical hashes of the study's wafers: neither they nor their mirror images are drawn.

    Raises:
        InputError: a class has no further wafers: all that were drawn are known.
    """
    seen, size = set(known), batch or number
    found: dict[str, list[np.ndarray]] = {name: [] for name in classes}
    for start in range(0, number, size):
        for name, maps in _batch(classes, size, simulator, derive_seed(seed, start) if start else seed, seen).items():
            found[name] += maps
    return {label: maps[:number] for label, maps in zip(labels_of(classes), found.values(), strict=True)}


def _batch(
    classes: Sequence[str], number: int, simulator: Simulator, seed: int, seen: set[str]
) -> dict[str, list[np.ndarray]]:
    """Class -> so many maps whose canonical hashes are not among ``seen``, which they join."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in classes}
    for attempt in range(ROUNDS):
        lacking = {name: number - len(maps) for name, maps in found.items() if len(maps) < number}
        if not lacking:
            break
        seed_now = derive_seed(seed, attempt)
        maps, names, _ = simulate(lacking, seed_now, simulator.wafers_per_lot, 0.0, simulator.difficulty)
        for wafer, name in zip(maps, names, strict=True):
            if (canonical := canonical_hash(wafer)) not in seen:
                seen.add(canonical)
                found[name].append(wafer)
    for name, maps in found.items():
        if len(maps) < number:
            raise InputError(
                f"oracle: the simulator gave {len(maps)} wafers of class {name!r} that the study does not have, "
                f"expected {number}; lower pool.n_accepted or raise dataset.simulated.difficulty"
            )
    return found
