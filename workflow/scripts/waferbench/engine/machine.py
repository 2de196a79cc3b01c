"""What the machine under a job offers. Imports nothing heavy: Snakemake asks while it plans."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from waferbench.base.machine import processors

VISIBLE = "CUDA_VISIBLE_DEVICES"
SCHEDULERS = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "JOB_ID")  # where a cluster's job says its number
GPU_NODES = ("nvidiactl", "kfd", "dxg")  # device files of NVIDIA's and AMD's drivers, and of Windows' Linux


def hardware() -> str:
    """Processor, how many of them this process may use, and memory, in words for a record."""
    told = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processors()} x {names[0] if names else platform.machine()}, {memory:.0f} GiB"


def has_gpu() -> bool:
    """Whether a GPU's driver is loaded and its GPUs are not hidden; where torch refuses them, jobs say so."""
    hidden = VISIBLE in os.environ and not gpu_devices()
    return any(Path("/dev", node).exists() for node in GPU_NODES) and not hidden


def gpu_devices() -> list[str]:
    """What `VISIBLE` may be set to, one name a GPU: those it holds already, else the numbers of all NVIDIA GPUs."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return [name for name in names if name not in ("", "-1", "NoDevFiles")]
    return [str(i) for i in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def allocation() -> str:
    """The cluster's job that this process runs in, or "": each may number its own GPUs from 0."""
    return next((os.environ[name] for name in SCHEDULERS if os.environ.get(name)), "")


def granted_gpus() -> int | None:
    """GPUs that a cluster has given to the job that this process runs in; None where nothing says so."""
    if "SLURM_JOB_ID" in os.environ:
        return int(os.environ.get("SLURM_GPUS_ON_NODE", 0))
    told = os.environ.get("WAFERBENCH_GPUS")  # by the scripts of profiles/generic
    return None if told is None else int(told)


def may_write(folder: Path) -> bool:
    """Whether files can be added to a folder, or to the one that it would be made in."""
    places = (folder, *folder.absolute().parents)
    there = next(path for path in places if os.path.exists(path))  # in a closed folder nothing is, and nothing raises
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
