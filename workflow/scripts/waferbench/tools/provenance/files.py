"""What a study was made with: its code, copied into the crate, its data, its weights, its packages."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import yaml

from waferbench.base.files import data_digest
from waferbench.base.sourcefiles import KINDS, files_of
from waferbench.config.section import Section

CODE = "code"  # folder of the crate that holds the workflow
PARTS = ("Snakefile", "config", "workflow", "profiles", "resources", "envs", "requirements.txt", "LICENSE")
SETTINGS = "settings.yaml"
HEAD = """\
# The study's settings, all of them, as it ran. With the workflow (the folder code beside this file) they run it again:
#   snakemake --cores 8 --resources gpu=1 --configfile settings.yaml
"""


@dataclass(frozen=True)
class Outside:
    """A file or folder that the study read and that lies elsewhere.

    role: what it is to the study. modified: when it was changed last, in UTC to the nanosecond. licence: SPDX, or "".
    """

    path: str
    role: str
    sha256: str
    size: int
    modified: str
    licence: str = ""
    origin: str = ""

    @property
    def uri(self) -> str:
        """Its name by its digest, RFC 6920."""
        encoded = base64.urlsafe_b64encode(bytes.fromhex(self.sha256)).decode().rstrip("=")
        return f"ni:///sha-256;{encoded}"


def outside(path: Path, role: str, licence: str = "", origin: str = "", name: str = "", source: str = "") -> Outside:
    """Describe a file or folder by its contents; ``name`` stands for its path where that says nothing elsewhere.

    Args:
        source: of the data set, which says what of a folder is read.
    """
    files = files_of(path, KINDS.get(source))
    size, newest = (
        sum(file.stat().st_size for file in files),
        max((file.stat().st_mtime_ns for file in files), default=0),
    )
    return Outside(name or str(path), role, data_digest(path, source), size, timestamp(newest), licence, origin)


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as ISO 8601, which ``touch -d`` reads."""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def copy_workflow(root: Path, crate: Path) -> list[str]:
    """Copy the workflow into the crate, in place of an earlier copy; its files, as paths from ``root``."""
    shutil.rmtree(crate / CODE, ignore_errors=True)
    files = []
    for part in PARTS:
        place = root / part
        inside = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        files += [p.relative_to(root) for p in inside if p.is_file() and "__pycache__" not in p.parts]
    for file in files:
        (crate / CODE / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / file, crate / CODE / file)
    return [file.as_posix() for file in files]


def write_settings(settings: Section, crate: Path) -> Path:
    """Write a study's settings as an overlay for ``--configfile``; without a cache, so that all is made again."""
    path, values = crate / SETTINGS, {**settings.model_dump(mode="json"), "set": "", "cache": ""}
    path.write_text(HEAD + yaml.safe_dump(values, sort_keys=True, allow_unicode=True))
    return path


def packages(lock: Path) -> dict[str, str]:
    """Installed versions of the packages that the lock names."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(), flags=re.M) if lock.exists() else []
    return {name: version for name in sorted(names) if (version := _version(name))}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
