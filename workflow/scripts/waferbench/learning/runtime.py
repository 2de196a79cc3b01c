"""Devices, threads and checkpoints: how jobs with a network run and survive."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from waferbench.base.artifacts import KEY
from waferbench.base.errors import InputError
from waferbench.base.files import atomic
from waferbench.base.machine import processors
from waferbench.base.progress import progress
from waferbench.base.seals import BLANK, seal, verify

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch. Call before any module is initialised."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def device(gpus: int = 1, threads: int | None = None) -> torch.device:
    """The CUDA device if one was asked for and is there, else the CPU (said on stderr); sets torch's threads.

    Without a GPU claim a job uses half of the processors at most, as another such job runs beside it. On the CPU the
    same seed gives the same bytes on the same machine: nothing here sums by index, the one thing that would not.
    """
    import torch

    most = processors() if gpus else max(1, processors() // 2)
    torch.set_num_threads(max(1, min(threads or most, most)))
    if gpus and torch.cuda.is_available():
        torch.backends.cudnn.benchmark = True
        print(f"running on {torch.cuda.get_device_name()}", file=sys.stderr)
        return torch.device("cuda")
    print(f"no CUDA GPU in use: running on the CPU, {torch.get_num_threads()} threads", file=sys.stderr)
    return torch.device("cpu")


def autocast(device: torch.device, precision: str = "auto") -> AbstractContextManager:
    """Half precision where a ``precision`` key asks for it (bf16, fp16); ``auto`` means bf16 on a GPU: on a CPU float32
    repeats its bytes."""
    import torch

    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "float32"
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, half[precision]) if precision in half else nullcontext()


@contextmanager
def memory_bound(what: str, remedy: str) -> Iterator[None]:
    """Where a GPU's memory does not hold what is inside, an `InputError` that names it and the remedy."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(f"{what}: out of GPU memory; {remedy}") from None


class HalvingBatches:
    """Rows in batches, which are halved with a line on stderr where the GPU's memory does not hold one.

    Args:
        name: what is done, for the line and the error.
        size: rows of a batch at first.
    """

    def __init__(self, name: str, size: int):
        self.name, self.size = name, size

    def run(self, do: Callable[[Sequence[int]], T], groups: Iterable[Sequence[int]]) -> list[T]:
        """What ``do(rows)`` returns of each batch of each group of rows, in order; no batch spans two groups.

        Raises:
            InputError: one row alone does not fit.
        """
        import torch

        groups, parts = list(groups), []
        with progress(None, self.name, total=sum(map(len, groups))) as bar:
            for rows in groups:
                while len(rows):
                    batch = rows[: self.size]
                    try:
                        parts.append(do(batch))
                    except torch.OutOfMemoryError:
                        self._halve(len(batch))
                    else:
                        bar.update(len(batch))
                        rows = rows[len(batch) :]
        return parts

    def _halve(self, size: int) -> None:
        import torch

        if size == 1:
            raise InputError(f"{self.name}: out of GPU memory even one by one; take a smaller network") from None
        self.size = -(-size // 2)
        torch.cuda.empty_cache()
        print(f"{self.name}: out of GPU memory; from here on batches of {self.size}", file=sys.stderr)


SAVE_EVERY = 60.0  # seconds between two states of one training: what a kill may cost


class Checkpoint:
    """One training state on disk that survives a kill; ``Checkpoint(None)`` keeps nothing.

    >>> state = checkpoint.load()            # None at the first start
    >>> checkpoint.save({"step": step, ...}) # tensors, numbers, strings, lists, dicts
    """

    def __init__(self, folder: str | Path | None, name: str = "state"):
        self.path = None if folder is None else Path(folder) / f"{name}.pt"
        self._saved = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether `SAVE_EVERY` seconds have gone by since the last state, or since the start."""
        return time.monotonic() - self._saved >= SAVE_EVERY

    def load(self) -> dict | None:
        """The last saved state on the CPU, or None (a damaged file counts as none; torch itself checks no sums)."""
        import torch

        if self.path is None or not self.path.exists():
            return None
        try:
            verify(self.path)
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            return {key: value for key, value in state.items() if key != KEY}
        except Exception as error:  # a torn file is not worth failing for: the work starts anew
            print(f"{self.path}: unreadable checkpoint ignored ({error})", file=sys.stderr)
            return None

    def save(self, state: Mapping) -> None:
        """Replace the saved state atomically."""
        import torch

        if self.path is not None:
            with atomic(self.path) as temporary:
                torch.save({**state, KEY: BLANK}, temporary)
                seal(temporary)
        self._saved = time.monotonic()
