"""Geometric scores of the silhouette: how far it is from the disc inscribed in the image."""

from __future__ import annotations

import numpy as np
import pandas as pd

SCORES = ("iou", "off_disc", "radius", "offset")


def silhouette(images: np.ndarray, pass_level: float = 128) -> np.ndarray:
    """Wafer (True) against background: greys above half the level of a passing die; bool (N, S, S)."""
    return images > pass_level / 2


def disc(size: int, radius: float = 1.0) -> np.ndarray:
    """Pixels whose centre lies within the disc of this radius, in halves of the edge; bool (size, size)."""
    x = _coordinates(size)
    return x[:, None] ** 2 + x[None, :] ** 2 <= radius**2


def geometric_scores(images: np.ndarray, pass_level: float = 128) -> pd.DataFrame:
    """Four scores an image, each about the silhouette alone.

    Centre and axes are those of the ellipse with the silhouette's first and second moments. Lengths are in
    halves of the image's edge, so that the nominal wafer has radius 1 and offset 0.

    Args:
        images: uint8 (N, S, S), grey 0-255.
        pass_level: grey of a passing die.

    Returns:
        float columns: ``iou`` of silhouette and nominal disc (0-1), ``off_disc`` share of the silhouette
        outside the disc (0-1), ``radius`` geometric mean of the fitted half axes, ``offset`` of the centre.
        An image without any wafer scores 0, 1, 0, 1.
    """
    mask = silhouette(images, pass_level)
    size = mask.shape[-1]
    nominal = disc(size)
    x = _coordinates(size)
    area = mask.sum((1, 2)).astype(np.float64)
    safe = np.maximum(area, 1)
    rows, columns = mask.sum(2).astype(np.float64), mask.sum(1).astype(np.float64)
    centre_y, centre_x = rows @ x / safe, columns @ x / safe
    # a pixel is a square, not a point: its own second moment is (2/S)^2 / 12
    own = (2 / size) ** 2 / 12
    yy = rows @ x**2 / safe - centre_y**2 + own
    xx = columns @ x**2 / safe - centre_x**2 + own
    xy = (mask @ x.astype(np.float32)).astype(np.float64) @ x / safe - centre_x * centre_y
    # half axes of a uniform ellipse are twice the root of its principal moments; their product is the determinant
    determinant = np.maximum(yy * xx - xy**2, 0)
    inside = (mask & nominal).sum((1, 2)).astype(np.float64)
    empty = area == 0
    return pd.DataFrame(
        {
            "iou": inside / (nominal.sum() + area - inside),
            "off_disc": np.where(empty, 1.0, (area - inside) / safe),
            "radius": np.where(empty, 0.0, 2 * determinant**0.25),
            "offset": np.where(empty, 1.0, np.hypot(centre_x, centre_y)),
        }
    )


def _coordinates(size: int) -> np.ndarray:
    return (2 * np.arange(size) + 1) / size - 1
