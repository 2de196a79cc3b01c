"""The machine that jobs run on: GPU, processors, memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from waferbench.base.machine import processors
from waferbench.engine.machine import has_gpu
from waferbench.tools.doctor import OK, WARNING, Finding


def check_gpu() -> Iterator[Finding]:
    """Whether there is a GPU, and torch can use it."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for i in range(count):
        free, total = (amount / 2**30 for amount in torch.cuda.mem_get_info(i))
        told = f"{torch.cuda.get_device_name(i)}, {total:.0f} GiB, {free:.0f} free"
        advice = "another process uses it: nvidia-smi names it" if free < total / 2 else ""
        yield Finding(WARNING if advice else OK, "GPU", told, advice)
    if not count and has_gpu():
        told = f"a driver is loaded, but torch {torch.__version__} sees no GPU: networks train on the CPU"
        advice = "install the torch build for the driver whose version nvidia-smi tells, or a newer driver"
        yield Finding(WARNING, "GPU", told, advice)
    elif not count:
        yield Finding(OK, "GPU", "none: networks train on the CPU, two jobs side by side; enough for small studies")


def check_memory(needs: Mapping[str, int]) -> Iterator[Finding]:
    """Processors, and the memory that the largest rule claims (``needs``: mem_mb by rule)."""
    total, free = memory()
    rule = max(needs, key=lambda name: needs[name])
    told = f"{processors()} processors, {total:,} MB, {free:,} free; the largest rule ({rule}) claims {needs[rule]:,}"
    advice = "" if needs[rule] <= free else "end what else uses the memory, or wait for it"
    if needs[rule] > total:
        advice = "lower memory_gb where its settings have one, else batches and images; or run where there is more"
    yield Finding(WARNING if advice else OK, "memory", told, advice)


def memory() -> tuple[int, int]:
    """MB of memory that this process may have at most, and that are free now; a container's limit counts."""
    import psutil

    seen = psutil.virtual_memory()
    total, free = seen.total, seen.available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (text := limit.read_text().strip()).isdigit() and int(text) < total:
        total, free = int(text), min(free, int(text) - int(used.read_text()))
    return total // 2**20, free // 2**20
