"""What a ready diffusion base is known by, in the plan and in the jobs that load it. Asks nothing of a network.

A folder of the user's own is known by the content that is read of it, an earlier download of the hub by its commit. A
base that a job downloads itself has no identity in the plan. What such a job loaded is noted in the study's folder: the
next plan leaves that base without one as well, as all would be trained again otherwise, and later jobs must find the
same one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from waferbench.base.files import atomic
from waferbench.base.regular import read_small
from waferbench.base.sourcefiles import COMMIT, NETWORK
from waferbench.engine.identities import DIGITS, require_planned
from waferbench.engine.memo import known_digest

MOST_BYTES = 200  # of a file that holds a commit or an identity


def planned_base(name: str, folder: str, study: Path) -> str:
    """The identity of a base for the jobs that will load it; "" where none is here, or was when they ran first.

    Args:
        name: of the base: a folder, or a name on the hub.
        folder: ``weights.folder``, or empty.
        study: its folder.

    Raises:
        InputError: a file of it is a pipe, a device or a socket.
    """
    found = _local(name, folder) or _downloaded(name)
    identity = _identity(found) if found else ""
    return "" if identity and identity == _read(_note(name, study)) else identity


def hold_base(name: str, loaded: str | Path, planned: str, study: Path) -> str:
    """Hold a base against the plan, after it was loaded; why a job's key does not say which it was, "" where it does.

    Args:
        loaded: its folder.
        planned: what `planned_base` said.

    Raises:
        InputError: it is another one than was planned with, or than jobs of the study have loaded.
    """
    now, note = _identity(Path(loaded)), _note(name, study)
    noted = _read(note)
    require_planned(f"{loaded}, the base {name}", planned or noted or now, now)
    if planned:
        return ""
    if not noted:
        with atomic(note) as temporary:
            temporary.write_text(now)
    return f"the base {name} was not here when the study was planned first, and so its revision is in no key"


def hub_cache() -> Path:
    """Where the hub's client keeps its downloads, found without it: what plans a study may not have it installed."""
    home = os.path.join(os.getenv("XDG_CACHE_HOME", os.path.join("~", ".cache")), "huggingface")
    hub = os.path.join(os.getenv("HF_HOME", home), "hub")
    place = os.getenv("HF_HUB_CACHE", os.getenv("HUGGINGFACE_HUB_CACHE", hub))
    return Path(os.path.expandvars(os.path.expanduser(place)))


def _local(name: str, folder: str) -> Path | None:
    """The first of the folders in which a base is looked for before the hub's downloads."""
    inside = [Path(folder, name), Path(folder, Path(name).name)] if folder else []
    return next((place for place in [Path(name), *inside] if place.is_dir()), None)


def _downloaded(name: str) -> Path | None:
    """The hub's snapshot of a base, of the commit that its branch ``main`` was at when it was downloaded."""
    repo = hub_cache() / "--".join(["models", *name.split("/")])
    commit = _read(repo / "refs" / "main")
    snapshot = repo / "snapshots" / commit
    return snapshot if COMMIT.fullmatch(commit) and snapshot.is_dir() else None


def _identity(folder: Path) -> str:
    """The commit of a snapshot of the hub, whichever of its files are here; else of what is read of the folder."""
    snapshot = folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--")
    return folder.name if snapshot and COMMIT.fullmatch(folder.name) else known_digest(folder, NETWORK)[:DIGITS]


def _note(name: str, study: Path) -> Path:
    """Where it stands which base was loaded under no identity."""
    return study / "runs" / f"base-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _read(path: Path) -> str:
    """A file of one short line; "" where there is none."""
    try:
        return read_small(path, MOST_BYTES).decode().strip()
    except (OSError, ValueError):
        return ""
