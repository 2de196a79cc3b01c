"""What a study needs and has: wafers, networks, room on the disk, whole artifacts; what killed runs have left."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from waferbench.base.errors import InputError
from waferbench.base.seals import STORE
from waferbench.base.sourcefiles import KINDS, files_of
from waferbench.config.study import Dataset
from waferbench.engine.running import markers, parted
from waferbench.engine.store import Store
from waferbench.tools.doctor import OK, PROBLEM, WARNING, Finding

PATIENCE = 3600  # seconds without a change after which a half-written file counts as left behind


def check_data(dataset: Dataset, study: Path) -> Iterator[Finding]:
    """The wafers' file or folder, and whether they are still those that the study has read."""
    path = Path(dataset.path)
    if dataset.source == "simulated":
        yield Finding(OK, "wafers", f"simulated: {sum(dataset.simulated.counts.values())}")
    elif not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        yield Finding(PROBLEM, "wafers", f"{path} cannot be read by you", f"chmod -R u+rX '{path}', or ask its owner")
    elif not (size := sum(file.stat().st_size for file in files_of(path, KINDS.get(dataset.source)))):
        yield Finding(PROBLEM, "wafers", f"{path} is empty", "copy the data again")
    else:
        yield Finding(OK, "wafers", f"{path}: {size:,} bytes")
        yield from _same_data(path, dataset.source, study / "data/wafers.h5")


def _same_data(path: Path, source: str, store: Path) -> Iterator[Finding]:
    from waferbench.base.artifacts import read_provenance
    from waferbench.base.files import data_digest

    try:
        made = read_provenance(store) if store.exists() else {}
    except InputError:  # the check of artifacts names it
        return
    read, now = made.get("inputs", {}).get("data") or made.get("data"), data_digest(path, source)
    if read == now:
        yield Finding(OK, "wafers", f"{path} has sha256 {now[:12]}..., as when the study read it")
    elif read:
        told = f"{path} has sha256 {now[:12]}..., the study has read {read[:12]}..."
        yield Finding(WARNING, "wafers", told, "if the change is meant, run the study: it reads the data again")


def check_networks(looks: Mapping[str, Callable[[], str]], download: bool) -> Iterator[Finding]:
    """Each network of a study and its weights.

    Args:
        looks: by network, what says which weights are there ("": it needs none), or raises an `InputError`.
        download: whether missing ones are fetched when they are needed.
    """
    for name, look in looks.items():
        try:
            yield Finding(OK, "weights", f"{name}: {look() or 'not pretrained'}")
        except InputError as error:
            found, _, advice = str(error).partition("; ")
            if download and ("not found" in found or "no such folder" in found):
                yield Finding(WARNING, "weights", f"{name}: not here", "nothing: it is fetched when first needed")
            else:
                yield Finding(PROBLEM, "weights", found, advice)


def check_room(needed: int, what: str, folder: Path) -> Iterator[Finding]:
    """Free room on the disk against the bytes that ``what`` takes in a folder, which may not be there yet."""
    place = next(path for path in [folder, *folder.parents, Path(".")] if path.exists())
    free = shutil.disk_usage(place).free
    advice = f"make room at {place.resolve()}, unless most of it is there already" if free < needed else ""
    told = f"{free / 1e9:,.1f} GB free; {what} take about {needed / 1e9:,.1f} GB"
    yield Finding(WARNING if advice else OK, "disk", told, advice)


def check_artifacts(study: Path) -> Iterator[Finding]:
    """Whether every artifact of the study is what it was when written."""
    from waferbench.base.progress import progress
    from waferbench.base.seals import sealed_in, verify

    paths, broken = list(sealed_in(study)), 0
    for path in progress(paths, "artifacts"):
        try:
            verify(path)
        except (InputError, OSError) as error:
            broken += 1
            told, _, remedy = str(error).partition("; ")
            yield Finding(PROBLEM, "artifacts", told, remedy or f"mend the rights of {path}")
    if not broken:
        yield Finding(OK, "artifacts", f"{len(paths)} of {study} are as they were written" if paths else "none yet")


def check_store(study: Path) -> Iterator[Finding]:
    """What the study's own store holds beyond its present results, which is what it takes of the disk."""
    spare = Store(study / STORE, linked=True).spare()
    if spare:
        told = f"{spare / 1e6:,.1f} MB of earlier results in {study / STORE}, which no present result shares"
        yield Finding(OK, "store", told, "to free them: snakemake clean_store --cores 1 and the study's options")
    else:
        yield Finding(OK, "store", "no room is taken by earlier results")


def check_leftovers(study: Path, locks: Path = Path(".snakemake/locks")) -> Iterator[Finding]:
    """Snakemake's lock, of which the doctor, a target without files, takes none; what killed jobs have left."""
    alive, dead = parted(markers(study / "runs"))
    if any(locks.glob("*.lock")):
        told = f"held by a run, of {alive[0].name} now" if alive else "held by a run, or left by one that is gone"
        advice = "beside a run ask with --nolock, else its lock goes with yours; without one: snakemake --unlock"
        yield Finding(WARNING, "lock", told, advice)
    if dead:
        told = f"{len(dead)} jobs were killed before their end: {', '.join(job.name for job in dead[:3])}"
        yield Finding(WARNING, "leftovers", told, "the next run begins or resumes them")
    partial = [path for path in study.rglob(".*.partial") if time.time() - path.stat().st_mtime > PATIENCE]
    if partial:
        advice = f"rm -r '{partial[0]}'" + " and the others" * (len(partial) > 1)
        yield Finding(WARNING, "leftovers", f"{len(partial)} half-written files of killed jobs", advice)
    states = [path for path in (study / ".checkpoints").glob("*/*") if path.is_dir()]
    if states and not alive:
        told = f"{len(states)} states of unfinished trainings, which the next run may go on from"
        yield Finding(OK, "leftovers", told, f"if the study is finished: rm -r '{study / '.checkpoints'}'")
