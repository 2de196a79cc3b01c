"""Simulated wafer maps with the nine classes of WM-811K, for studies without data of one's own.

A wafer is drawn as a probability of failing for each die, background and pattern together, and every die
then fails or passes by itself. Die grids, failing fractions and radial profiles follow what was measured on
the labelled part of WM-811K (Wu, Jang, Chen, IEEE Trans. Semiconductor Manufacturing 28(1), 2015,
doi 10.1109/TSM.2014.2364237); no wafer of it is contained here. Wafers of one grid and class are computed
as arrays of (wafers, dies), in coordinates where the wafer's rim is the unit circle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from waferbench.base.errors import InputError
from waferbench.config.study import SimulatedWafers
from waferbench.wafers.simulate.grids import VARIANTS, Grid, make_grid
from waferbench.wafers.simulate.patterns import CLASSES, PATTERNS, edge_loc, edge_ring, loc
from waferbench.wafers.simulate.shapes import Draw, ramp
from waferbench.wafers.store import WaferStore
from waferbench.wafers.table import WaferSet, require_classes

CHUNK_DIES = 2_000_000  # dies computed at once: bounds memory at some tens of MB


# Background failing rate of a wafer, as a multiple of its lot's: patterns were seen on products of
# different yield. Chosen so that the failing fractions come near the real ones.
BACKGROUND = {"Center": 1.2, "Edge-Loc": 1.1, "Edge-Ring": 0.5, "Scratch": 0.7, "none": 1.3}


def background(grid: Grid, draw: Draw, rate: np.ndarray) -> np.ndarray:
    """Rate of failing without a pattern, (n, dies): uneven, and higher at the rim and the very centre."""
    rate = rate * np.exp(draw.normal(0.35))
    edge = draw.uniform(0, 2.2) * ramp(1 - grid.r, np.float32(0.06), 0.06)
    middle = draw.chance(0.25) * draw.uniform(0, 3) * ramp(grid.r, np.float32(0.08), 0.08)
    level = draw.field(grid, 0.3)
    level += edge
    level += middle
    level += 1
    level *= rate
    return np.clip(level, 0, 0.9, out=level)


def systematic(grid: Grid, draw: Draw) -> np.ndarray:
    """Failing rows, columns or reticle positions on a few wafers, (n, dies)."""
    period, phase = draw.rng.integers(2, 7, (draw.n, 2)), draw.rng.integers(0, 6, (draw.n, 2))
    row, column = grid.index // grid.columns, grid.index % grid.columns
    in_row = (row + phase[:, :1]) % period[:, :1] == 0
    in_column = (column + phase[:, 1:]) % period[:, 1:] == 0
    kind = draw.rng.integers(3, size=(draw.n, 1))
    hit = np.where(kind == 0, in_row, np.where(kind == 1, in_column, in_row & in_column))
    return hit * draw.uniform(0.05, 0.45)


def wafers(
    grid: Grid, name: str, rate: np.ndarray, difficulty: float, rng: np.random.Generator, shift: float
) -> np.ndarray:
    """Maps of one class on one grid.

    Args:
        rate: float32 (n, 1), background failing rate of each wafer's lot.
        shift: as `waferbench.wafers.simulate.shapes.Draw`'s.

    Returns:
        uint8 (n, rows, columns): 0 off, 1 pass, 2 fail.
    """
    n = len(rate)
    draw = Draw(rng, n, difficulty, shift)
    clean = np.float32(0.25 + 0.75 * difficulty)
    good = background(grid, draw, rate * np.float32(BACKGROUND.get(name, 1.0)) * clean)
    np.subtract(1, good, out=good)
    good *= 1 - PATTERNS[name](grid, draw)
    for extra, share in ((systematic, 0.05), (edge_loc, 0.05), (loc, 0.05), (edge_ring, 0.04)):
        if name == "none" and extra is not systematic:
            continue  # a wafer with a pattern would not be called `none`
        some = np.flatnonzero(rng.random(n) < share * difficulty)
        if len(some):
            few = Draw(rng, len(some), difficulty, shift)
            good[some] *= 1 - few.uniform(0.1, 0.6) * extra(grid, few)
    dies = (rng.random(good.shape, dtype=np.float32) >= good).view(np.uint8) + np.uint8(1)
    dies[rng.random(n) < 0.02 * difficulty, rng.integers(dies.shape[1])] = 0  # a test site that is not a die
    maps = np.zeros((n, grid.rows * grid.columns), np.uint8)
    maps[:, grid.index] = dies
    return maps.reshape(n, grid.rows, grid.columns)


@threadpool_limits.wrap(limits=1, user_api="blas")  # its products are small: further threads only get in the way
def simulate(
    counts: Mapping[str, int],
    seed: int,
    wafers_per_lot: int = 25,
    duplicates: float = 0.01,
    difficulty: float = 1.0,
    variant: str = "standard",
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Simulated wafers of each class, in shuffled order.

    Wafers of a lot share their die grid and the level of their background; a lot holds all classes.

    Args:
        counts: class name (of `CLASSES`) -> wafers.
        seed: of every random choice; the same seed gives the same wafers.
        wafers_per_lot: wafers in a lot, at least 1.
        duplicates: fraction of wafers that repeat another one of their class (and take its lot), 0 to below 1.
        difficulty: 0 = clean patterns on quiet wafers, 1 = as ambiguous as WM-811K, up to 2.
        variant: of `waferbench.wafers.simulate.grids.VARIANTS`: the fab whose wafers they are.

    Returns:
        Maps, uint8 (rows, columns) of 0 off-wafer, 1 pass, 2 fail; class names; lot names.

    Raises:
        InputError: an unknown class, a negative count, no wafers, or a setting out of its range.
    """
    check(counts, wafers_per_lot, duplicates, difficulty, variant)
    fab = VARIANTS[variant]
    rng = np.random.default_rng([int(seed) & 0xFFFFFFFF, 811 + list(VARIANTS).index(variant)])
    names = np.repeat([CLASSES.index(name) for name in counts], [int(n) for n in counts.values()])
    rng.shuffle(names)
    lot = np.arange(len(names)) // wafers_per_lot
    lots = int(lot[-1]) + 1
    product = rng.choice(len(fab.grids), lots, p=fab.grids[:, 2] / fab.grids[:, 2].sum())
    # near the failing fractions between the patterns of WM-811K's wafers
    level = np.clip(fab.level * np.exp(rng.normal(0, fab.spread, lots)), 0.002, 0.2).astype(np.float32)
    level[rng.random(lots) < fab.quiet] *= np.float32(0.1)

    maps: list[np.ndarray] = [np.empty(0, np.uint8)] * len(names)
    for p in np.unique(product):
        rows, columns = (int(v) for v in fab.grids[p, :2])
        grid = make_grid(rows, columns, rng)
        here = np.flatnonzero(product[lot] == p)
        for label in np.unique(names[here]):
            members = here[names[here] == label]
            step = max(1, CHUNK_DIES // len(grid.index))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                drawn = wafers(grid, CLASSES[label], level[lot[part]][:, None], difficulty, rng, fab.shift)
                for i, wafer in zip(part, drawn, strict=True):
                    maps[i] = wafer
    repeat(maps, names, lot, duplicates, rng)
    return maps, [CLASSES[k] for k in names], [f"lot{k:05d}" for k in lot]


def simulated_wafers(settings: SimulatedWafers, seed: int, classes: Sequence[str] = ()) -> WaferSet:
    """The wafers of a study without data of its own; ids are ``sim-`` and their number.

    Args:
        settings: how many wafers of which class, and how hard they are.
        classes: names of the classes under study, each of which must be asked for.

    Raises:
        InputError: as `simulate`, or a class under study of which no wafer is asked for.
    """
    asked = {name for name, count in settings.counts.items() if count}
    require_classes(asked, classes, "dataset.simulated.counts")
    counts = dict(sorted(settings.counts.items()))  # in whatever order they were written
    maps, names, lots = simulate(counts, seed, settings.wafers_per_lot, settings.duplicates, settings.difficulty)
    return WaferSet(WaferStore.of(maps), names, lots, [f"sim-{i:06d}" for i in range(len(maps))])


def repeat(
    maps: list[np.ndarray], names: np.ndarray, lot: np.ndarray, fraction: float, rng: np.random.Generator
) -> None:
    """Make that fraction of the wafers copies of others of their class, in place."""
    chosen = rng.permutation(len(names))[: round(fraction * len(names))]
    originals = np.ones(len(names), bool)
    originals[chosen] = False
    for i in chosen:
        others = np.flatnonzero(originals & (names == names[i]))
        if len(others):
            source = int(rng.choice(others))
            maps[i], lot[i] = maps[source].copy(), lot[source]


def check(counts: Mapping[str, int], wafers_per_lot: int, duplicates: float, difficulty: float, variant: str) -> None:
    """Refuse what cannot be simulated, naming the key."""
    where = "dataset.simulated"
    for name, n in counts.items():
        if name not in CLASSES:
            raise InputError(f"{where}.counts: unknown class {name!r}; the simulator has {', '.join(CLASSES)}")
        if isinstance(n, bool) or int(n) != n or n < 0:
            raise InputError(f"{where}.counts.{name}: found {n!r}, expected a whole number of wafers, 0 or more")
    if not sum(counts.values()):
        raise InputError(f"{where}.counts: no wafers asked for; give at least one class a count")
    if int(wafers_per_lot) != wafers_per_lot or wafers_per_lot < 1:
        raise InputError(f"{where}.wafers_per_lot: found {wafers_per_lot!r}, expected a whole number from 1")
    if not 0 <= duplicates < 1:
        raise InputError(f"{where}.duplicates: found {duplicates!r}, expected a fraction from 0 to below 1")
    if not 0 <= difficulty <= 2:
        raise InputError(f"{where}.difficulty: found {difficulty!r}, expected 0 to 2")
    if variant not in VARIANTS:
        raise InputError(f"unknown variant {variant!r} of the simulator; expected one of {', '.join(VARIANTS)}")
