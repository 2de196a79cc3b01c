"""Simulated wafer maps with the nine classes of WM-811K, for studies without data of one's own.

A wafer is drawn as a probability of failing for each die, background and pattern together, and every die
then fails or passes by itself. Die grids, failing fractions and radial profiles follow what was measured on
the labelled part of WM-811K (Wu, Jang, Chen, IEEE Trans. Semiconductor Manufacturing 28(1), 2015,
doi 10.1109/TSM.2014.2364237); no wafer of it is contained here. Wafers of one grid and class are computed
as arrays of (wafers, dies), in coordinates where the wafer's rim is the unit circle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from waferbench.errors import InputError

CLASSES = ("Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Random", "Scratch", "none")

# Rows, columns and weight of typical die grids. The weights are the square roots of how many of WM-811K's
# defective wafers have that grid: frequent grids stay frequent, but no class hangs on one of them.
GRIDS = np.array(
    [
        (25, 27, 54), (38, 36, 46), (53, 52, 39), (63, 62, 38), (39, 37, 32), (26, 26, 30), (30, 34, 27),
        (35, 31, 25), (44, 41, 24), (29, 26, 24), (41, 41, 23), (69, 73, 22), (107, 150, 16), (41, 42, 22),
        (46, 46, 21), (39, 31, 21), (43, 42, 21), (34, 34, 21), (32, 29, 20), (35, 40, 20), (33, 29, 20),
        (26, 30, 19), (41, 33, 18), (25, 26, 16), (27, 25, 16), (48, 52, 16), (40, 40, 16), (56, 41, 15),
        (33, 33, 15), (31, 31, 15), (38, 38, 15), (52, 59, 14), (49, 39, 13), (55, 48, 12), (60, 59, 11),
        (39, 50, 11), (51, 30, 10), (73, 78, 10), (100, 72, 10), (72, 72, 8), (133, 97, 5), (101, 103, 4),
        (123, 136, 3), (41, 51, 9), (45, 50, 9), (22, 35, 4), (72, 44, 7), (212, 204, 1),
    ],
    dtype=np.int64,
)  # fmt: skip
CHUNK_DIES = 2_000_000  # dies computed at once: bounds memory at some tens of MB

# Background failing rate of a wafer, as a multiple of its lot's: patterns were seen on products of
# different yield. Chosen so that the failing fractions come near the real ones.
BACKGROUND = {"Center": 1.2, "Edge-Loc": 1.1, "Edge-Ring": 0.5, "Scratch": 0.7, "none": 1.3}


@dataclass(frozen=True)
class Grid:
    """The dies of one product: positions in the unit disk, and a smooth basis on them.

    index: int64 (dies,) position in the flat map; x, y, r, theta: float32 (dies,);
    basis: float32 (16, dies), plane waves of low frequency; quadric: float32 (6, dies), x^2, xy, y^2, x, y, 1.
    """

    rows: int
    columns: int
    index: np.ndarray
    x: np.ndarray
    y: np.ndarray
    r: np.ndarray
    theta: np.ndarray
    basis: np.ndarray
    quadric: np.ndarray

    @property
    def pitch(self) -> float:
        """Mean distance of neighbouring dies, in wafer radii."""
        return 4.0 / (self.rows + self.columns)


def make_grid(rows: int, columns: int, rng: np.random.Generator) -> Grid:
    """The dies whose centres lie on the wafer, less what a flat or a notch takes from its rim."""
    y, x = np.meshgrid(
        (np.arange(rows) + 0.5) / rows * 2 - 1, (np.arange(columns) + 0.5) / columns * 2 - 1, indexing="ij"
    )
    on = np.hypot(x, y) <= rng.choice([0.99, 1.0, 1.0, 1.015])
    side = (y, -y, x, -x)[rng.integers(4)]
    along = x if side is y or rng.random() < 0.5 else y
    kind = rng.choice(["round", "flat", "notch"], p=[0.6, 0.2, 0.2])
    if kind == "flat":
        on &= side <= rng.uniform(0.93, 0.97)
    elif kind == "notch":
        on &= ~((side > 0.95) & (np.abs(along) < 0.08))
    index = np.flatnonzero(on)
    x, y = x.ravel()[index].astype(np.float32), y.ravel()[index].astype(np.float32)
    waves = [(1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (1, -2)]
    phase = np.stack([np.float32(1.7) * (a * x + b * y) for a, b in waves])
    basis = np.concatenate([np.cos(phase), np.sin(phase)])
    quadric = np.stack([x * x, x * y, y * y, x, y, np.ones_like(x)])
    return Grid(rows, columns, index, x, y, np.hypot(x, y), np.arctan2(y, x), basis, quadric)


class Draw:
    """Random numbers of n wafers at once, each a float32 column (n, 1)."""

    def __init__(self, rng: np.random.Generator, n: int, difficulty: float):
        self.rng, self.n, self.difficulty = rng, n, difficulty

    def uniform(self, low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, (self.n, 1)).astype(np.float32)

    def log_uniform(self, low: float, high: float) -> np.ndarray:
        return np.exp(self.uniform(np.log(low), np.log(high)))

    def normal(self, scale: float) -> np.ndarray:
        return self.rng.normal(0, scale, (self.n, 1)).astype(np.float32)

    def chance(self, p: float) -> np.ndarray:
        return self.rng.random((self.n, 1)) < p

    def angle(self) -> np.ndarray:
        return self.uniform(-np.pi, np.pi)

    def strength(self, low: float, high: float = 1.0) -> np.ndarray:
        """Failing rate inside a pattern; difficulty 0 keeps it at `high`."""
        return high - (high - self.uniform(low, high)) * np.float32(min(self.difficulty, 1.3))

    def field(self, grid: Grid, scale: float) -> np.ndarray:
        """A smooth random field over the dies, (n, dies), of about that standard deviation."""
        weights = self.rng.normal(0, scale / np.sqrt(8), (self.n, 16)).astype(np.float32)
        return weights @ grid.basis


def ramp(distance: np.ndarray, edge: np.ndarray, soft: np.ndarray | float) -> np.ndarray:
    """1 well inside `edge`, 0 well outside, straight between over the width `soft`."""
    result = edge - distance
    result /= soft
    result += np.float32(0.5)
    return np.clip(result, 0, 1, out=result)


def distances(
    grid: Grid, cx: np.ndarray, cy: np.ndarray, turn: np.ndarray | float = 0.0, ratio: np.ndarray | float = 1.0
) -> np.ndarray:
    """Distance of each die from the points (cx, cy), (n, dies), in ellipses of that turn and ratio of axes."""
    cos, sin = np.cos(turn), np.sin(turn)
    a, c = cos * cos / ratio + sin * sin * ratio, sin * sin / ratio + cos * cos * ratio
    b = 2 * cos * sin * (1 / ratio - ratio)
    terms = (a, b, c, -2 * a * cx - b * cy, -2 * c * cy - b * cx, a * cx * cx + b * cx * cy + c * cy * cy)
    weights = np.concatenate(np.broadcast_arrays(*terms), axis=1).astype(np.float32)
    squares = weights @ grid.quadric  # one product of matrices in place of a dozen passes over the dies
    return np.sqrt(np.maximum(squares, 0, out=squares), out=squares)


def blob(grid: Grid, draw: Draw, cx: np.ndarray, cy: np.ndarray, size: np.ndarray, stretch: float) -> np.ndarray:
    """An uneven ellipse, (n, dies) from 0 to 1; its axes differ by up to the factor `stretch`."""
    distance = distances(grid, cx, cy, draw.angle(), draw.log_uniform(1, stretch))
    distance *= 1 + draw.field(grid, 0.25)
    return ramp(distance, np.maximum(size, 0.7 * grid.pitch), np.maximum(size * draw.uniform(0.2, 1.4), grid.pitch))


def turned(grid: Grid, angle: np.ndarray) -> np.ndarray:
    """Angle of each die from `angle` (both -pi to pi), 0 to pi."""
    return np.float32(np.pi) - np.abs(np.abs(grid.theta - angle) - np.float32(np.pi))


def center(grid: Grid, draw: Draw) -> np.ndarray:
    """A blob on the centre, small to most of the wafer, often in a weaker halo, sometimes with a small hole."""
    cx, cy = draw.normal(0.06), draw.normal(0.06)
    size = np.where(draw.chance(0.25), draw.uniform(0.35, 0.75), draw.log_uniform(0.08, 0.42))
    core = blob(grid, draw, cx, cy, size, 1.6) * draw.strength(0.5)
    halo = blob(grid, draw, cx, cy, size * draw.uniform(1.3, 2.2), 1.4) * draw.uniform(0.1, 0.5) * draw.chance(0.5)
    hole = ramp(distances(grid, cx, cy), draw.uniform(0.08, 0.22) * np.minimum(size * 2, 1), 0.06)
    return np.maximum(core, halo) * (1 - hole * draw.uniform(0.3, 1) * draw.chance(0.2))


def donut(grid: Grid, draw: Draw) -> np.ndarray:
    """A ring between centre and rim, weaker over part of the turn, around a cleaner inside."""
    cx, cy = draw.normal(0.08), draw.normal(0.08)
    distance = distances(grid, cx, cy) * (1 + draw.field(grid, 0.1))
    radius, width = draw.uniform(0.33, 0.6), draw.uniform(0.07, 0.2)
    soft = np.maximum(width * draw.uniform(0.5, 1.2), grid.pitch)
    ring = ramp(np.abs(distance - radius), width, soft) * draw.strength(0.5)
    gap = ramp(turned(grid, draw.angle()), draw.uniform(0.3, 1.2), 0.8) * draw.uniform(0, 1) * draw.chance(0.5)
    return ring * (1 - gap)


def rim(grid: Grid, draw: Draw, low: float, high: float) -> np.ndarray:
    """Closeness to the rim, (n, dies): a band some dies or a part of the radius wide."""
    width = np.maximum(draw.log_uniform(low, high), draw.uniform(0.8, 1.6) * grid.pitch)
    depth = (1 - grid.r) * (1 + draw.field(grid, 0.2))
    return ramp(depth, width * 0.75, width * draw.uniform(0.2, 1.0))


def edge_loc(grid: Grid, draw: Draw) -> np.ndarray:
    """One or two segments of the rim, or a blob that touches it."""
    angle, half = draw.angle(), draw.log_uniform(0.18, 1.2)
    band = rim(grid, draw, 0.05, 0.35)
    arc = band * ramp(turned(grid, angle), half, draw.uniform(0.1, 0.5)) * draw.strength(0.5)
    other = band * ramp(turned(grid, draw.angle()), draw.uniform(0.1, 0.5), 0.2) * draw.strength(0.4)
    radius = draw.uniform(0.82, 1.02)
    spot = blob(grid, draw, radius * np.cos(angle), radius * np.sin(angle), draw.log_uniform(0.12, 0.6), 2.2)
    pattern = np.where(draw.chance(0.65), arc, spot * draw.strength(0.5))
    return np.maximum(pattern, other * draw.chance(0.2))


def edge_ring(grid: Grid, draw: Draw) -> np.ndarray:
    """The rim all around, or all but a gap."""
    ring = rim(grid, draw, 0.03, 0.16) * draw.strength(0.55)
    gap = ramp(turned(grid, draw.angle()), draw.uniform(0.2, 1.1), 0.6) * draw.uniform(0.3, 1) * draw.chance(0.4)
    return ring * (1 - gap)


def loc(grid: Grid, draw: Draw) -> np.ndarray:
    """Off the centre: an uneven blob, some spots of a few dies, or a crescent."""
    radius, angle = draw.uniform(0.2, 0.8), draw.angle()
    cx, cy = radius * np.cos(angle), radius * np.sin(angle)
    wide = blob(grid, draw, cx, cy, draw.log_uniform(0.07, 0.42), 3.0) * draw.strength(0.45)
    off = np.abs(grid.r - draw.uniform(0.35, 0.65))
    crescent = ramp(off, draw.uniform(0.05, 0.18), 0.1) * ramp(turned(grid, angle), draw.uniform(0.3, 0.9), 0.3)
    result = np.where(draw.chance(0.15), crescent * draw.strength(0.5), wide)
    return np.where(draw.chance(0.35), spots(grid, draw), result)


def spots(grid: Grid, draw: Draw) -> np.ndarray:
    """One to three sharp groups of a few dies."""
    result = np.zeros((1, 1), np.float32)
    for share in (1.0, 0.45, 0.2):
        radius, angle = draw.uniform(0.3, 0.92), draw.angle()
        dx, dy = grid.x - radius * np.cos(angle), grid.y - radius * np.sin(angle)
        distance = np.maximum(np.abs(dx) * draw.uniform(0.7, 1.4), np.abs(dy) * draw.uniform(0.7, 1.4))
        size = np.maximum(draw.uniform(0.8, 2.0) * grid.pitch, draw.uniform(0.02, 0.09))
        result = np.maximum(result, ramp(distance, size, 0.8 * grid.pitch) * draw.chance(share))
    return result * draw.strength(0.75)


def near_full(grid: Grid, draw: Draw) -> np.ndarray:
    """Nearly every die, sometimes all but a region."""
    level = 1 - draw.uniform(0.0, 0.25)
    angle, radius = draw.angle(), draw.uniform(0.5, 1.1)
    spared = blob(grid, draw, radius * np.cos(angle), radius * np.sin(angle), draw.uniform(0.1, 0.4), 2.5)
    return level * (1 - spared * draw.uniform(0.2, 0.8) * draw.chance(0.5))


def random_fails(grid: Grid, draw: Draw) -> np.ndarray:
    """A high rate of failing everywhere, uneven: towards centre or rim, or in rows or columns over a region."""
    level = np.clip(0.43 + draw.normal(0.1), 0.22, 0.68)
    uneven = draw.field(grid, 0.2) + draw.normal(0.35) * (grid.r - np.float32(0.6))
    uneven += draw.uniform(0, 0.5) * ramp(1 - grid.r, np.float32(0.06), 0.06)
    lines = np.where(draw.chance(0.6), grid.index % grid.columns, grid.index // grid.columns)
    lines = (lines % draw.rng.integers(2, 4, (draw.n, 1)) == 0) * np.float32(2) - 1
    region = ramp(grid.r * (1 + draw.field(grid, 0.25)), draw.uniform(0.5, 1.2), 0.2) * draw.chance(0.25)
    return np.clip(level * (1 + uneven + lines * region * draw.uniform(0.2, 0.9)), 0, 1)


def scratch(grid: Grid, draw: Draw) -> np.ndarray:
    """One to three thin curves with gaps, each a quadratic Bezier drawn die by die."""
    n, rng = draw.n, draw.rng
    steps = np.linspace(0, 1, 2 * max(grid.rows, grid.columns), dtype=np.float32)
    canvas = np.zeros((n, grid.rows * grid.columns), np.float32)
    count = 1 + rng.choice(3, (n, 1), p=[0.75, 0.18, 0.07])
    radius, angle, heading = np.sqrt(draw.uniform(0, 0.85)), draw.angle(), draw.angle()
    length = draw.log_uniform(0.35, 2.2)
    length, bend = np.maximum(length, 6 * grid.pitch), draw.normal(0.3)
    thick, strength = draw.chance(0.4), draw.strength(0.75)
    for k in range(3):
        cx, cy = radius * np.cos(angle), radius * np.sin(angle)
        along, across = (steps - 0.5) * length, bend * length * (1 - (2 * steps - 1) ** 2)
        x = cx + along * np.cos(heading) - across * np.sin(heading)
        y = cy + along * np.sin(heading) + across * np.cos(heading)
        for shift in (0, 1):
            column = np.floor((x + 1) / 2 * grid.columns).astype(np.int64) + shift
            row = np.floor((y + 1) / 2 * grid.rows).astype(np.int64)
            drawn = (row >= 0) & (row < grid.rows) & (column >= 0) & (column < grid.columns) & (count > k)
            drawn &= thick if shift else True
            wafer, step = np.nonzero(drawn)
            canvas[wafer, row[wafer, step] * grid.columns + column[wafer, step]] = strength[wafer, 0]
        # the next curve runs beside this one, as a tool's arms leave them, or anywhere
        beside = draw.chance(0.6)
        radius = np.where(beside, np.clip(radius + draw.normal(0.2), 0, 0.9), np.sqrt(draw.uniform(0, 0.85)))
        angle = np.where(beside, angle + draw.normal(0.2), draw.angle())
        heading = np.where(beside, heading + draw.normal(0.1), draw.angle())
    return canvas[:, grid.index]


def no_pattern(grid: Grid, draw: Draw) -> np.ndarray:
    """Background only."""
    return np.zeros((draw.n, 1), np.float32)


PATTERNS: dict[str, Callable[[Grid, Draw], np.ndarray]] = dict(
    zip(
        CLASSES,
        (center, donut, edge_loc, edge_ring, loc, near_full, random_fails, scratch, no_pattern),
        strict=True,
    )
)


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


def wafers(grid: Grid, name: str, rate: np.ndarray, difficulty: float, rng: np.random.Generator) -> np.ndarray:
    """Maps of one class on one grid.

    Args:
        rate: float32 (n, 1), background failing rate of each wafer's lot.

    Returns:
        uint8 (n, rows, columns): 0 off, 1 pass, 2 fail.
    """
    n = len(rate)
    draw = Draw(rng, n, difficulty)
    clean = np.float32(0.25 + 0.75 * difficulty)
    good = background(grid, draw, rate * np.float32(BACKGROUND.get(name, 1.0)) * clean)
    np.subtract(1, good, out=good)
    good *= 1 - PATTERNS[name](grid, draw)
    for extra, share in ((systematic, 0.05), (edge_loc, 0.05), (loc, 0.05), (edge_ring, 0.04)):
        if name == "none" and extra is not systematic:
            continue  # a wafer with a pattern would not be called `none`
        some = np.flatnonzero(rng.random(n) < share * difficulty)
        if len(some):
            few = Draw(rng, len(some), difficulty)
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
) -> tuple[list[np.ndarray], list[str], list[str]]:
    """Simulated wafers of each class, in shuffled order.

    Wafers of a lot share their die grid and the level of their background; a lot holds all classes.

    Args:
        counts: class name (of `CLASSES`) -> wafers.
        seed: of every random choice; the same seed gives the same wafers.
        wafers_per_lot: wafers in a lot, at least 1.
        duplicates: fraction of wafers that repeat another one of their class (and take its lot), 0 to below 1.
        difficulty: 0 = clean patterns on quiet wafers, 1 = as ambiguous as WM-811K, up to 2.

    Returns:
        Maps, uint8 (rows, columns) of 0 off-wafer, 1 pass, 2 fail; class names; lot names.

    Raises:
        InputError: an unknown class, a negative count, no wafers, or a setting out of its range.
    """
    check(counts, wafers_per_lot, duplicates, difficulty)
    rng = np.random.default_rng([int(seed) & 0xFFFFFFFF, 811])
    names = np.repeat([CLASSES.index(name) for name in counts], [int(n) for n in counts.values()])
    rng.shuffle(names)
    lot = np.arange(len(names)) // wafers_per_lot
    lots = int(lot[-1]) + 1
    product = rng.choice(len(GRIDS), lots, p=GRIDS[:, 2] / GRIDS[:, 2].sum())
    # near the failing fractions between the patterns of WM-811K's wafers
    level = np.clip(0.085 * np.exp(rng.normal(0, 0.6, lots)), 0.002, 0.2).astype(np.float32)
    level[rng.random(lots) < 0.12] *= np.float32(0.1)

    maps: list[np.ndarray] = [np.empty(0, np.uint8)] * len(names)
    for p in np.unique(product):
        rows, columns = (int(v) for v in GRIDS[p, :2])
        grid = make_grid(rows, columns, rng)
        here = np.flatnonzero(product[lot] == p)
        for label in np.unique(names[here]):
            members = here[names[here] == label]
            step = max(1, CHUNK_DIES // len(grid.index))
            for start in range(0, len(members), step):
                part = members[start : start + step]
                drawn = wafers(grid, CLASSES[label], level[lot[part]][:, None], difficulty, rng)
                for i, wafer in zip(part, drawn, strict=True):
                    maps[i] = wafer
    repeat(maps, names, lot, duplicates, rng)
    return maps, [CLASSES[k] for k in names], [f"lot{k:05d}" for k in lot]


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


def check(counts: Mapping[str, int], wafers_per_lot: int, duplicates: float, difficulty: float) -> None:
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
