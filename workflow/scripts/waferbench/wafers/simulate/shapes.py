"""Random numbers and soft shapes of many wafers at once, arrays of (wafers, dies)."""

from __future__ import annotations

import numpy as np

from waferbench.wafers.simulate.grids import Grid


class Draw:
    """Random numbers of n wafers at once, each a float32 column (n, 1).

    Args:
        shift: how far the patterns' parameters lie from the standard ones, 0 to below 1: ranges are moved by that share
            of their width, deviations widened by it, odds raised. Angles keep the whole turn.
    """

    def __init__(self, rng: np.random.Generator, n: int, difficulty: float, shift: float = 0.0):
        self.rng, self.n, self.difficulty, self.shift = rng, n, difficulty, shift

    def uniform(self, low: float, high: float) -> np.ndarray:
        return self._between(*moved(low, high, self.shift))

    def log_uniform(self, low: float, high: float) -> np.ndarray:
        """Sizes, which have no upper bound."""
        low, high = np.log(low), np.log(high)
        move = self.shift * (high - low)
        return np.exp(self._between(low + move, high + move))

    def _between(self, low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, (self.n, 1)).astype(np.float32)

    def normal(self, scale: float) -> np.ndarray:
        return self.rng.normal(0, scale * (1 + self.shift), (self.n, 1)).astype(np.float32)

    def chance(self, p: float) -> np.ndarray:
        return self.rng.random((self.n, 1)) < p * (1 + self.shift * (1 - p))  # what always is, stays

    def angle(self) -> np.ndarray:
        return self.rng.uniform(-np.pi, np.pi, (self.n, 1)).astype(np.float32)

    def strength(self, low: float, high: float = 1.0) -> np.ndarray:
        """Failing rate inside a pattern; difficulty 0 keeps it at `high`."""
        return high - (high - self.uniform(low, high)) * np.float32(min(self.difficulty, 1.3))

    def field(self, grid: Grid, scale: float) -> np.ndarray:
        """A smooth random field over the dies, (n, dies), of about that standard deviation."""
        weights = self.rng.normal(0, scale / np.sqrt(8), (self.n, 16)).astype(np.float32)
        return weights @ grid.basis


def moved(low: float, high: float, shift: float) -> tuple[float, float]:
    """A range moved up by that share of its width.

    One that lies between 0 and 1, as rates and places on the wafer do, moves down where it would leave them, and is cut
    at 0: what reaches from 0 to nearly 1 keeps its lower part.
    """
    move = shift * (high - low)
    if low >= 0 and high <= 1 < high + move:
        return max(0.0, low - move), high - move
    return low + move, high + move


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
