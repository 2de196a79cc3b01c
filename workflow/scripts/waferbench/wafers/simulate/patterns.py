"""The eight defect classes and `none`: failing rate of each die inside the pattern, (wafers, dies) from 0 to 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from waferbench.wafers.simulate.grids import Grid
from waferbench.wafers.simulate.shapes import Draw, blob, distances, ramp, turned

CLASSES = ("Center", "Donut", "Edge-Loc", "Edge-Ring", "Loc", "Near-full", "Random", "Scratch", "none")


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
