"""Devices, threads, seeds, checkpoints and progress: how long jobs run and survive."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from waferbench.artifacts import atomic
from waferbench.machine import processors

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: Any) -> int:
    """A 31-bit seed from any values, the same in every process: ``derive_seed(42, "gan", "donut", 0)``."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


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
        return torch.device("cuda")
    print(f"no CUDA GPU in use: running on the CPU, {torch.get_num_threads()} threads", file=sys.stderr)
    return torch.device("cpu")


def progress(iterable: Iterable, description: str, total: int | None = None) -> Iterable:
    """A progress bar on stderr; a line every ten seconds where stderr is a log file."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    return tqdm(iterable, desc=description, total=total, mininterval=0.5 if terminal else 10, ascii=not terminal)


class Checkpoint:
    """One training state on disk that survives a kill; ``Checkpoint(None)`` keeps nothing.

    >>> state = checkpoint.load()            # None at the first start
    >>> checkpoint.save({"step": step, ...}) # tensors, numbers, strings, lists, dicts
    >>> checkpoint.clear()                   # after the final artifact is written
    """

    def __init__(self, folder: str | Path | None, name: str = "state"):
        self.path = None if folder is None else Path(folder) / f"{name}.pt"

    def load(self) -> dict | None:
        """The last saved state on the CPU, or None (an unreadable file counts as none)."""
        import torch

        if self.path is None or not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # a torn file is not worth failing for: the work starts anew
            print(f"{self.path}: unreadable checkpoint ignored ({error})", file=sys.stderr)
            return None

    def save(self, state: Mapping) -> None:
        """Replace the saved state atomically."""
        import torch

        if self.path is not None:
            with atomic(self.path) as temporary:
                torch.save(dict(state), temporary)

    def clear(self) -> None:
        """Remove the saved state."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
