"""The die grids that simulated wafers are drawn on, and the variants of the simulator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

# The same of another fab: none of the grids above, of about the same sizes.
OTHER_GRIDS = np.array(
    [
        (24, 28, 50), (36, 40, 44), (50, 54, 38), (64, 60, 36), (38, 35, 32), (28, 25, 30), (31, 33, 28),
        (36, 32, 26), (43, 45, 24), (27, 29, 24), (42, 40, 22), (70, 66, 20), (104, 140, 14), (45, 43, 22),
        (48, 44, 20), (37, 33, 20), (34, 37, 20), (30, 28, 20), (40, 34, 18), (54, 46, 16), (58, 43, 14),
        (47, 39, 14), (61, 56, 12), (52, 34, 10), (76, 71, 10), (96, 74, 8), (126, 98, 5), (98, 106, 4),
        (118, 130, 3), (23, 33, 4), (198, 190, 1),
    ],
    dtype=np.int64,
)  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A fab.

    grids: as `GRIDS`; shift: of its patterns' parameters, as `waferbench.wafers.simulate.shapes.Draw`'s;
    level, spread: median rate of failing outside the patterns of its lots, and the standard deviation of its logarithm;
    quiet: share of lots with a tenth of that.
    """

    grids: np.ndarray
    shift: float = 0.0
    level: float = 0.085
    spread: float = 0.6
    quiet: float = 0.12


# `elsewhere`: wafers of another fab, for what is pretrained without the wafers under study. Its patterns are larger,
# wider and weaker: most of what it makes could be of the standard fab, three tenths of nearly every range could not,
# and as much of the standard ranges is never seen. No grid is the same, and its lots are cleaner and more unlike.
VARIANTS = {
    "standard": Variant(GRIDS),
    "elsewhere": Variant(OTHER_GRIDS, shift=0.3, level=0.065, spread=0.8, quiet=0.25),
}


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
