"""The raw pool of one class: drawn shard by shard, until enough samples pass the shape filter."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from waferbench.base.errors import InputError
from waferbench.base.seals import verify
from waferbench.wafers.store import WaferStore, read_store, write_store


def fill(
    draw: Callable[[int, int], Sequence[np.ndarray]],
    passes: Callable[[Sequence[np.ndarray]], np.ndarray] | None,
    n_accepted: int,
    max_raw: int,
    shard: int,
    folder: Path,
) -> tuple[list[np.ndarray], dict[str, int | str]]:
    """Samples 0 to n of an endless sequence, n being where enough of them are accepted, or the cap.

    Each shard is stored as it is drawn: a kill costs one shard, and another filter or another number of samples
    draws only what was never drawn before.

    Args:
        draw: samples ``start`` to ``stop - 1`` of the sequence, images or wafer maps, each uint8 of two dimensions.
        passes: bool (n,) of n samples; None accepts every one.
        n_accepted: accepted samples wanted.
        max_raw: samples drawn at most where not all are accepted.
        shard: samples drawn at a time.
        folder: where the shards are kept, one folder for each sequence.

    Returns:
        The samples, and the facts: ``drawn``, ``accepted``, ``stopped_by`` (``n_accepted`` or ``max_raw``).
    """
    most = max_raw if passes else n_accepted
    samples, accepted = [], 0
    while len(samples) < most and accepted < n_accepted:
        start, stop = len(samples), min(most, len(samples) + shard)
        part = _stored(folder, start)
        if part is None or len(part) != shard:
            part = list(draw(start, start + shard))  # whole, so that a sample's batch never depends on the pool's size
            write_store(_path(folder, start), WaferStore.of(part))
        part = part[: stop - start]
        samples += part
        accepted += int(passes(part).sum()) if passes else len(part)
    stopped_by = "n_accepted" if accepted >= n_accepted else "max_raw"
    return samples, {"drawn": len(samples), "accepted": accepted, "stopped_by": stopped_by}


def discard_others(folder: Path) -> None:
    """Remove the sequences beside this one, which nothing asks for any more."""
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _path(folder: Path, start: int) -> Path:
    return folder / f"{start:06d}.h5"


def _stored(folder: Path, start: int) -> list[np.ndarray] | None:
    """A stored shard, or None."""
    path = _path(folder, start)
    if not path.exists():
        return None
    try:
        verify(path)
        return list(read_store(path))
    except InputError as error:
        print(f"shard drawn anew: {error}", file=sys.stderr)
        return None
