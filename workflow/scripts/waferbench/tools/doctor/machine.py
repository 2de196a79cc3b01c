"""The machine and what is installed on it: Python, packages, GPU, processors, memory."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from waferbench.base.machine import has_gpu, processors
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding

OLDEST, TOO_NEW = (3, 11), (3, 14)


def check_python() -> Iterator[Finding]:
    """Whether this Python is one that the lock was made for."""
    found = sys.version.split()[0]
    if OLDEST <= sys.version_info[:2] < TOO_NEW:
        yield Finding(OK, "Python", found)
    else:
        yield Finding(WARNING, "Python", found, "the lock serves 3.11 to 3.13: make the environment with one of them")


def check_packages(lock: Path, wanted: Path) -> Iterator[Finding]:
    """Installed packages against the lock. One that is asked for by name (``wanted``) must be there."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    names = re.findall(r"^([A-Za-z0-9._-]+)", wanted.read_text(), flags=re.M)
    direct = {canonicalize_name(name) for name in names}
    absent, other, count = [], [], 0
    for line in lock.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        count += 1
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            absent.append(requirement.name)
            continue
        if not requirement.specifier.contains(Version(installed).public, prereleases=True):
            other.append(f"{requirement.name} {installed} (lock: {str(requirement.specifier).removeprefix('==')})")
    needed = [name for name in absent if canonicalize_name(name) in direct]
    advice = "pip install -r requirements.txt"
    if needed:
        yield Finding(PROBLEM, "packages", f"missing: {_some(needed)}", advice)
    rest = [name for name in absent if name not in needed]
    if rest:
        yield Finding(WARNING, "packages", f"missing, though some platforms need none: {_some(rest)}", advice)
    if other:
        yield Finding(WARNING, "packages", f"not the locked versions: {_some(other)}", advice)
    if not absent and not other:
        yield Finding(OK, "packages", f"{count} as locked")


def check_gpu() -> Iterator[Finding]:
    """Whether there is a GPU, and torch can use it."""
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            free, total = (amount / 2**30 for amount in torch.cuda.mem_get_info(i))
            told = f"{torch.cuda.get_device_name(i)}, {total:.0f} GiB, {free:.0f} free; {_driver()}"
            if free < total / 2:
                yield Finding(WARNING, "GPU", told, "another process uses it: nvidia-smi names it")
            else:
                yield Finding(OK, "GPU", told)
    elif has_gpu():
        advice = "install the torch build for this driver, or a newer driver; until then networks train on the CPU"
        yield Finding(
            WARNING, "GPU", f"a driver is loaded ({_driver()}), but torch {torch.__version__} sees none", advice
        )
    else:
        yield Finding(OK, "GPU", "none: networks train on the CPU, two jobs side by side; enough for small studies")


def _driver() -> str:
    """The driver's version, as nvidia-smi says it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if shutil.which(command[0]) is None:
        return "driver of unknown version"
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return (
        f"driver {done.stdout.split()[0]}" if done.returncode == 0 and done.stdout.split() else "driver not answering"
    )


def check_memory(needs: Mapping[str, int]) -> Iterator[Finding]:
    """Processors, and the memory that the largest rule claims (``needs``: mem_mb by rule)."""
    total, free = memory()
    rule = max(needs, key=lambda name: needs[name])
    told = f"{processors()} processors, {total:,} MB, {free:,} free; the largest rule ({rule}) claims {needs[rule]:,}"
    if needs[rule] > total:
        yield Finding(WARNING, "memory", told, f"give {_remedy(rule)}, or run where there is more memory")
    elif needs[rule] > free:
        yield Finding(WARNING, "memory", told, "end what else uses the memory, or wait for it")
    else:
        yield Finding(OK, "memory", told)


def memory() -> tuple[int, int]:
    """MB of memory that this process may have at most, and that are free now; a container's limit counts."""
    import psutil

    seen = psutil.virtual_memory()
    total, free = seen.total, seen.available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (text := limit.read_text().strip()).isdigit() and int(text) < total:
        total = int(text)
        free = min(free, total - int(used.read_text()))
    return total // 2**20, free // 2**20


def _remedy(rule: str) -> str:
    return "svm.memory_gb a lower value" if rule == "fit_svm" else "smaller batches and images"


def _some(names: list[str]) -> str:
    """The first few of some names."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
