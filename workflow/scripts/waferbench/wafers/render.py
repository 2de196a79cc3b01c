"""Dies to pixels, one way for generators, quality and classifiers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from waferbench.config.study import Drawing

RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}


def render(maps: Iterable[np.ndarray], drawing: Drawing) -> np.ndarray:
    """Grey images of wafer maps, stretched to a square.

    Args:
        maps: uint8 (rows, columns) of 0 off-wafer, 1 pass, 2 fail, any shapes.
        drawing: ``size``, edge of the images in pixels; ``levels``, grey of off-wafer, pass, fail, 0-255; ``resize``,
            ``bilinear`` (the paper's; a 0-2 edge blurs through "pass") or ``nearest``.

    Returns:
        uint8 (N, size, size).

    >>> wafer = np.array([[0, 1, 0], [1, 2, 1], [0, 1, 0]], np.uint8)
    >>> render([wafer], Drawing(size=6, resize="nearest"))[0, 2]
    array([128, 128, 255, 255, 128, 128], dtype=uint8)
    """
    table = np.zeros(256, np.uint8)
    table[:3] = drawing.levels
    size, how = drawing.size, RESAMPLE[drawing.resize]
    images = [Image.fromarray(table[m]).resize((size, size), how) for m in maps]
    return np.stack([np.asarray(i) for i in images]) if images else np.zeros((0, size, size), np.uint8)


def snap_greys(images: np.ndarray, levels: Sequence[int] = (0, 128, 255)) -> np.ndarray:
    """Each pixel at the nearest of the three levels; uint8 of any shape in and out."""
    levels = np.asarray(levels, np.int16)
    table = levels[np.abs(np.arange(256)[:, None] - levels[None]).argmin(1)].astype(np.uint8)
    return table[images]
