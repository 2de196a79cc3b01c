"""The raw pool of one class: drawn shard by shard, until enough samples pass the shape filter."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from waferbench.base.errors import InputError
from waferbench.base.seals import verify
from waferbench.config.synthesis.settings import Pool
from waferbench.images.store import read_images, write_images
from waferbench.wafers.store import WaferStore, read_store, write_store


class Keep(NamedTuple):
    """How a shard is kept: what writes samples to a file, and what reads them."""

    write: Callable[[Path, Sequence[np.ndarray]], None]
    read: Callable[[Path], Sequence[np.ndarray]]


IMAGES = Keep(write_images, lambda path: read_images(path).images)
MAPS = Keep(lambda path, maps: write_store(path, WaferStore.of(maps)), read_store)


def fill(
    draw: Callable[[int, int], Sequence[np.ndarray]],
    passes: Callable[[Sequence[np.ndarray]], np.ndarray] | None,
    pool: Pool,
    folder: Path,
    keep: Keep,
) -> tuple[list[np.ndarray], dict[str, int | str]]:
    """Samples 0 to n of an endless sequence, n being where enough of them are accepted, or the cap.

    Each shard is stored as it is drawn: a kill costs one shard, and another filter or another number of samples
    draws only what was never drawn before.

    Args:
        draw: samples ``start`` to ``stop - 1`` of the sequence, images or wafer maps, each uint8 of two dimensions.
        passes: bool (n,) of n samples; None accepts every one.
        pool: how many accepted samples are wanted, how many are drawn at most where not all are accepted, and how many
            at a time.
        folder: where the shards are kept, one folder for each sequence.
        keep: `IMAGES` or `MAPS`.

    Returns:
        The samples, and the facts: ``drawn``, ``accepted``, ``stopped_by`` (``n_accepted`` or ``max_raw``).
    """
    most = pool.max_raw if passes else pool.n_accepted
    samples, accepted = [], 0
    while len(samples) < most and accepted < pool.n_accepted:
        start, stop = len(samples), min(most, len(samples) + pool.shard)
        path = folder / f"{start:06d}.h5"
        part = _stored(path, keep)
        if part is None or len(part) != pool.shard:
            # whole, so that a sample's batch never depends on the pool's size
            part = list(draw(start, start + pool.shard))
            keep.write(path, part)
        part = part[: stop - start]
        samples += part
        accepted += int(passes(part).sum()) if passes else len(part)
    stopped_by = "n_accepted" if accepted >= pool.n_accepted else "max_raw"
    return samples, {"drawn": len(samples), "accepted": accepted, "stopped_by": stopped_by}


def discard_others(folder: Path) -> None:
    """Remove the sequences beside this one, which nothing asks for any more."""
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _stored(path: Path, keep: Keep) -> list[np.ndarray] | None:
    """A stored shard, or None."""
    if not path.exists():
        return None
    try:
        verify(path)
        return list(keep.read(path))
    except InputError as error:
        print(f"shard drawn anew: {error}", file=sys.stderr)
        return None
