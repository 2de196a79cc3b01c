"""Where the files lie that come with the library and are no Python: templates of pages, published tables, the manifest
of weights.

In a clone they lie where people look for them, outside of the library; where it is installed, in its own folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

_LIBRARY = Path(__file__).resolve().parents[1]
_INSTALLED = _LIBRARY / "files"  # setup.py puts them there
TEMPLATES = _INSTALLED / "report" if _INSTALLED.is_dir() else _LIBRARY.parents[1] / "report"
"""A folder a track, and the kit's."""
RESOURCES = _INSTALLED / "resources" if _INSTALLED.is_dir() else _LIBRARY.parents[2] / "resources"


def files_digest(*paths: Path) -> str:
    """12 hex digits for the names and contents of files, and of all files in folders but hidden ones.

    A rule takes it as a parameter instead of the files as inputs: another clone has equal ones elsewhere.
    """
    files = sorted((file.relative_to(path.parent).as_posix(), file) for path in paths for file in _files(path))
    lines = [f"{name} {hashlib.sha256(file.read_bytes()).hexdigest()}" for name, file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _files(path: Path) -> list[Path]:
    inside = path.rglob("*") if path.is_dir() else [path]
    return [file for file in inside if not file.name.startswith(".") and not file.is_dir()]
