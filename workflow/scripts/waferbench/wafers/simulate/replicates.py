"""Simulated wafers of a study of replicates, whose training and test sets are independent of one another.

Each replicate is as large as a study without replicates; a fifth of each class validates. Every set is a simulation of
its own: no lot is in two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.config.stages import Replicated
from waferbench.config.study import SimulatedWafers
from waferbench.wafers.simulate.dataset import simulate
from waferbench.wafers.splitting import sets_of
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, require_classes

VALIDATING = 0.2  # of each class of a replicate


def replicated_wafers(
    settings: SimulatedWafers, replicated: Replicated, seed: int, classes: Sequence[str]
) -> tuple[WaferSet, list[str]]:
    """The wafers of all replicates; ids are ``sim-``, their set and their number in it.

    Args:
        settings: how many wafers of which class a replicate has, and how hard they are.
        replicated: how many replicates, and how many test wafers of each class in each of them.
        seed: of the study.
        classes: names of the classes under study, each of which must be asked for.

    Returns:
        The wafers, and the set of each, see `waferbench.wafers.splitting.sets_of`.

    Raises:
        InputError: as `waferbench.wafers.simulate.dataset.simulate`, or a class under study of which a replicate has
            none or a single wafer, which cannot both train and validate.
    """
    counts = {name: count for name, count in sorted(settings.counts.items()) if count}
    require_classes(set(counts), classes, "dataset.simulated.counts")
    single = next((name for name in classes if counts[name] < 2), None)
    if single is not None:
        raise InputError(
            f"dataset.simulated.counts.{single}: found 1, expected at least 2 where folds.protocols names replicates: "
            "one trains, one validates"
        )
    validating = {name: min(max(1, round(VALIDATING * count)), count - 1) for name, count in counts.items()}
    training = {name: count - validating[name] for name, count in counts.items()}
    wanted: dict[str, tuple[Mapping[str, int], float]] = {}  # set -> wafers of each class, fraction that repeats
    for replicate in range(replicated.count):
        train, val, test = sets_of(replicate)
        wanted |= {train: (training, settings.duplicates), val: (validating, settings.duplicates)}
        wanted[test] = (dict.fromkeys(counts, replicated.test_per_class), 0.0)  # each of its wafers counts

    maps, names, lots, ids, drawn_for = [], [], [], [], []
    for name, (number, duplicates) in wanted.items():
        drawn, classes_drawn, lots_drawn = simulate(
            number,
            derive_seed(seed, "replicates", name),
            settings.wafers_per_lot,
            duplicates,
            settings.difficulty,
        )
        maps += drawn
        names += classes_drawn
        lots += [f"{name}-{lot}" for lot in lots_drawn]
        ids += [f"sim-{name}-{i:06d}" for i in range(len(drawn))]
        drawn_for += [name] * len(drawn)
    return WaferSet(WaferStore.of(maps), names, lots, ids), drawn_for
