"""A store of images, all of one size: what generators draw. A wafer map is no image, see `waferbench.wafers.store`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from waferbench.base.artifacts import read_h5, write_h5
from waferbench.base.errors import InputError


@dataclass(frozen=True)
class ImageStore:
    """images: uint8 (N, S, S), grey 0-255."""

    images: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Sequence[int] | np.ndarray, name: str = "images") -> np.ndarray:
        """The images at these positions, uint8 (len(index), S, S), in that order.

        Args:
            name: of the store, for the error.

        Raises:
            InputError: a position before the first or beyond the last one.
        """
        index = np.asarray(index, dtype=np.int64)
        absent = index[(index < 0) | (index >= len(self))]
        if len(absent):
            raise InputError(f"{name}: image {absent[0]} asked for, of {len(self)}; rerun what asks for it")
        return self.images[index]


def write_images(
    path: str | Path,
    images: np.ndarray | Sequence[np.ndarray],
    provenance: Mapping | None = None,
    beside: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write images to HDF5.

    Args:
        images: uint8 (N, S, S), N at least 1, or as many of (S, S).
        beside: further arrays for the same file, such as the wafer maps that the images were drawn from.
    """
    stack = np.stack(images)
    if stack.dtype != np.uint8 or stack.ndim != 3:
        raise ValueError(f"images are {stack.dtype} {stack.shape}, expected uint8 (N, S, S)")
    write_h5(path, {"images": stack, **(beside or {})}, provenance)


def read_images(path: str | Path) -> ImageStore:
    """Read the images of a file written by `write_images`; what lies beside them stays in the file."""
    return ImageStore(read_h5(path, ["images"])["images"])
