"""What the machine under a job offers. Imports nothing heavy: Snakemake asks while it plans."""

from __future__ import annotations

import os
from pathlib import Path

GPU_NODES = ("nvidiactl", "kfd", "dxg")  # device files of NVIDIA's and AMD's drivers, and of Windows' Linux


def processors() -> int:
    """Processors this process may use (its CPU affinity, not the machine's count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_gpu() -> bool:
    """Whether a GPU's driver is loaded; torch may still refuse the GPU, and jobs then run on the CPU and say so."""
    return any(Path("/dev", node).exists() for node in GPU_NODES)


def may_write(folder: Path) -> bool:
    """Whether files can be added to a folder, or to the one that it would be made in."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
