"""A Python environment of its own that has the library installed, beside the packages that the tests run with."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from helpers.workflow_copy import ROOT, copy_workflow

BUILD = ("setup.py", "pyproject.toml", "LICENSE", "requirements.in")  # what pip needs beside the workflow


def copy_repository(folder: Path) -> Path:
    """Copy the workflow, and what installing it needs; the folder."""
    copy_workflow(folder)
    for name in BUILD:
        shutil.copy2(ROOT / name, folder)
    return folder


def build_wheel(repository: Path, folder: Path) -> Path:
    """The wheel that `pip install` would make of a copy of the repository, without a network."""
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, repository], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path | None = None) -> Path:
    """The interpreter of a new environment with the packages of this one, and the library if a wheel is given."""
    venv.create(folder, symlinks=True)
    place = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    (place / "beside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    python = folder / "bin/python"
    if wheel:
        options = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], check=True)
    return python
