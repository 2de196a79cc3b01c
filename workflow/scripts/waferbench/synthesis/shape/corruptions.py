"""Images that are no whole, centred wafer, made from images that are.

The negatives of the shape network, and the yardstick of the filter's rejection rate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from waferbench.synthesis.shape.geometric import disc

KNOTS = 5  # of the elastic field an edge: one this coarse bends the rim instead of roughening it


def corrupt(images: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Each image corrupted in one way, with random strength.

    Args:
        images: uint8 (N, S, S) of rendered wafers.
        kind: a key of `CORRUPTIONS`.

    Returns:
        uint8 (N, S, S).
    """
    return np.stack([CORRUPTIONS[kind](image, rng) for image in images]) if len(images) else images.copy()


def corrupt_any(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image corrupted in a way drawn at random; uint8 (N, S, S)."""
    kinds = list(CORRUPTIONS)
    return np.stack([CORRUPTIONS[kinds[rng.integers(len(kinds))]](image, rng) for image in images])


def _warp(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear samples of an image at pixel positions; background beyond its edge."""
    size = image.shape[0]
    padded = np.zeros((size + 2, size + 2), np.float32)
    padded[1:-1, 1:-1] = image
    r = np.clip(rows + 1, 0, size + 1 - 1e-4)
    c = np.clip(columns + 1, 0, size + 1 - 1e-4)
    i, j = r.astype(np.int64), c.astype(np.int64)
    u, v = (r - i).astype(np.float32), (c - j).astype(np.float32)
    top = padded[i, j] * (1 - v) + padded[i, j + 1] * v
    bottom = padded[i + 1, j] * (1 - v) + padded[i + 1, j + 1] * v
    return np.rint(top * (1 - u) + bottom * u).astype(np.uint8)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:size, :size].astype(np.float64)
    return rows, columns


def _polar(distance: float, rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return distance * np.sin(angle), distance * np.cos(angle)


@cache
def _spline(size: int) -> np.ndarray:
    """Cubic interpolation from `KNOTS` values to ``size`` pixels; (size, KNOTS)."""
    return zoom(np.eye(KNOTS), (size / KNOTS, 1), order=3)


def _elastic(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = image.shape[0]
    spline = _spline(size)
    field = spline @ rng.normal(size=(2, KNOTS, KNOTS)) @ spline.T
    field -= field.mean((1, 2), keepdims=True)
    field *= rng.uniform(0.05, 0.10) * size / field.std()
    rows, columns = _grid(size)
    return _warp(image, rows + field[0], columns + field[1])


def _truncated(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A segment beyond a chord is missing."""
    half = image.shape[0] / 2
    rows, columns = _grid(image.shape[0])
    dy, dx = _polar(1.0, rng)
    along = ((rows + 0.5 - half) * dy + (columns + 0.5 - half) * dx) / half
    return np.where(along > rng.uniform(0.2, 0.75), 0, image).astype(np.uint8)


def _cut_rim(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A round bite out of the rim."""
    half = image.shape[0] / 2
    rows, columns = _grid(image.shape[0])
    dy, dx = _polar(rng.uniform(0.8, 1.0) * half, rng)
    bite = np.hypot(rows + 0.5 - half - dy, columns + 0.5 - half - dx) < rng.uniform(0.3, 0.6) * half
    return np.where(bite, 0, image).astype(np.uint8)


def _off_centre(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, columns = _grid(image.shape[0])
    dy, dx = _polar(rng.uniform(0.08, 0.3) * image.shape[0], rng)
    return _warp(image, rows + dy, columns + dx)


def _scaled(image: np.ndarray, factors: tuple[float, float], shift: tuple[float, float]) -> np.ndarray:
    centre = (image.shape[0] - 1) / 2
    rows, columns = _grid(image.shape[0])
    return _warp(
        image, (rows - centre - shift[0]) / factors[0] + centre, (columns - centre - shift[1]) / factors[1] + centre
    )


def _shrunk(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Too small, and an ellipse as often as not."""
    factors = rng.uniform(0.5, 0.9, 2) if rng.random() < 0.5 else np.repeat(rng.uniform(0.5, 0.9), 2)
    return _scaled(image, tuple(factors), (0.0, 0.0))


def _multi_disc(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two or three small wafers, or a second one across the first."""
    size = image.shape[0]
    result = image if rng.random() < 0.3 else np.zeros_like(image)
    across = result is image
    # a second wafer across the first is centred towards a corner, where it shows
    start = np.pi / 4 + rng.normal(scale=0.15) if across else rng.uniform(0, 2 * np.pi)
    count = 2 if across else rng.integers(2, 4)
    for part in range(count):
        angle = start + 2 * np.pi * part / count
        factor = rng.uniform(0.35, 0.6)
        reach = size / 2 * (1.05 if across else rng.uniform(0.45, 0.7))
        copy = _scaled(image, (factor, factor), (reach * np.sin(angle), reach * np.cos(angle)))
        result = np.maximum(result, copy)
    return result


def _spill(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Dies outside the disc: blobs in the corners, or a wafer that fills the square."""
    size = image.shape[0]
    level = image.max() if image.any() else 128
    outside = ~disc(size)
    blobs = gaussian_filter(rng.normal(size=(size, size)), size / 16, mode="wrap")
    share = rng.uniform(0.2, 1.0)
    where = outside & (blobs >= np.quantile(blobs[outside], 1 - share))
    greys = np.where(rng.random((size, size)) < rng.uniform(0, 0.5), level, max(level // 2, 1))
    return np.where(where, np.maximum(image, greys), image).astype(np.uint8)


def _noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pixels, or squares of them, replaced by random greys all over the image."""
    size = image.shape[0]
    block = int(rng.integers(1, 4))
    hit = (
        rng.random((size, size))
        if block == 1
        else np.kron(rng.random((-(-size // block),) * 2), np.ones((block, block)))[:size, :size]
    )
    return np.where(hit < rng.uniform(0.1, 0.6), rng.integers(0, 256, (size, size)), image).astype(np.uint8)


CORRUPTIONS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "elastic": _elastic,
    "truncated": _truncated,
    "cut_rim": _cut_rim,
    "off_centre": _off_centre,
    "shrunk": _shrunk,
    "multi_disc": _multi_disc,
    "spill": _spill,
    "noise": _noise,
}
