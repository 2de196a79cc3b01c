"""Whether this Python computes what its packages say, and what tells one installed package from another."""

from __future__ import annotations

import functools
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]  # the workflow's own
CUSTOM = ("sitecustomize", "usercustomize")  # modules that Python runs at its start where it finds them
BY_MAKERS = ("_virtualenv.pth",)  # written by those who make environments, not by a package
SYSTEM = Path("/usr/lib/python3/dist-packages")  # Debian's own packages, which have no list of files beside them


def patched() -> str:
    """Why what this interpreter computes may be another result than the same packages give elsewhere; else empty.

    Looks at what Python runs or prefers before anything that was installed: folders of ``PYTHONPATH``, a
    ``sitecustomize`` or ``usercustomize`` that is not Python's own, code in ``.pth`` files that no package brought.
    """
    return next(_patches(), "")


def _patches() -> Iterator[str]:
    if not sys.flags.ignore_environment:
        for place in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
            if os.path.exists(place) and Path(place).resolve() != SCRIPTS:
                yield f"PYTHONPATH names {place}"
    own = Path(sysconfig.get_path("stdlib")).resolve()
    for name in CUSTOM:
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in sys.modules and (file is None or Path(file).parent.resolve() != own):
            yield f"{file or name} is run at its start"
    for folder in _site_folders():
        for file in sorted(folder.glob("*.pth")):
            if file.name not in BY_MAKERS and _runs_code(file) and not _installed(file):
                yield f"{file} is run at its start, which no installed package brought"


def _site_folders() -> list[Path]:
    """Where Python reads ``.pth`` files."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [
        folder for folder in map(Path, [*site.getsitepackages(), *user]) if os.path.isdir(folder) and folder != SYSTEM
    ]


def _runs_code(file: Path) -> bool:
    """Whether Python runs a line of it, as it does with those that begin so."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return False  # Python cannot read it either
    return any(line.startswith((b"import ", b"import\t")) for line in lines)


def _installed(file: Path) -> bool:
    """Whether it is in the list of files of a package that lies beside it."""
    start = f"{file.name},".encode()
    for record in file.parent.glob("*.dist-info/RECORD"):
        with suppress(OSError):  # kept from us: it tells nothing
            if any(line.startswith(start) for line in record.read_bytes().splitlines()):
                return True
    return False


@functools.cache
def distribution_digest(name: str) -> str:
    """What tells an installed distribution's code from another's: 64 hex digits, or ``absent``.

    A digest of name, version, and the digests in its list of files (``RECORD``). Of that list only files that can be
    imported count: scripts name the environment's own folder, and installers leave notes. Without a list the version
    alone counts.

    Args:
        name: of the distribution, not of the module (``scikit-learn``).
    """
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return "absent"
    lines = (found.read_text("RECORD") or "").splitlines()
    counted = sorted(line for line in lines if "sha256=" in line and not _is_note(line))
    return hashlib.sha256("\n".join([f"{name} {found.version}", *counted]).encode()).hexdigest()


def _is_note(line: str) -> bool:
    top = line.partition("/")[0]
    return top == ".." or top.endswith(".dist-info") or os.path.isabs(line)
