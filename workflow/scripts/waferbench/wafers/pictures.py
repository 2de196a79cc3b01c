"""Wafer maps as small pictures for a page: passing dies slate, failing ones orange, off-wafer clear."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

OFF_PASS_FAIL = np.array([[128, 140, 160, 0], [150, 166, 188, 255], [228, 87, 46, 255]], float)  # RGBA


def shades(levels: tuple[int, ...], colours: np.ndarray = OFF_PASS_FAIL) -> np.ndarray:
    """RGBA of each grey, float (256, 4): the colours of off, pass and fail, in-between greys blended."""
    grey, order = np.arange(256), np.argsort(levels)
    table = [np.interp(grey, np.asarray(levels, float)[order], colours[order, k]) for k in range(4)]
    return np.stack(table, axis=1)


def palette_image(pixels: np.ndarray, levels: tuple[int, ...]) -> Image.Image:
    """Greys (H, W) uint8 in the colours off = clear, pass = slate, fail = orange, in-between greys blended."""
    table = shades(levels).round().astype(np.uint8)
    image = Image.fromarray(pixels, "L").convert("P")
    image.putpalette(table[:, :3].tobytes())
    image.info["transparency"] = table[:, 3].tobytes()
    return image


def address(image: Image.Image) -> str:
    """A PNG data address of an image."""
    buffer, more = io.BytesIO(), {}
    if "transparency" in image.info:
        more["transparency"] = image.info["transparency"]
    image.save(buffer, "PNG", optimize=True, **more)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def strip(images: np.ndarray, levels: tuple[int, ...], slots: int) -> str:
    """A row of images (n, S, S) as a PNG data address; slots: the width in images."""
    size, gap = images.shape[1], max(2, images.shape[1] // 16)
    row = np.full((size, slots * size + (slots - 1) * gap), levels[0], np.uint8)
    for k, image in enumerate(images[:slots]):
        row[:, k * (size + gap) : k * (size + gap) + size] = image
    return address(palette_image(row, levels))
