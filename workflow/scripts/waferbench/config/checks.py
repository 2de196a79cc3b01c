"""Settings of every study that must agree with one another."""

from __future__ import annotations

from collections.abc import Collection

from waferbench.base import protocols
from waferbench.base.errors import InputError, nearest
from waferbench.base.names import labels_of
from waferbench.config.grid import protocols_of
from waferbench.config.study import Dataset, StudySettings


def check_study(settings: StudySettings) -> None:
    """Raise an `InputError` at the first setting that contradicts another."""
    _check_dataset(settings.dataset)
    _check_folds(settings)


def among(key: str, name: str, known: Collection[str], where: str) -> None:
    """`InputError` for a name that is not among the known ones, which stand under the key ``where``."""
    if name not in known:
        raise InputError(f"{key}: {name!r} is not in {where}{nearest(name, known)}; there are {', '.join(known)}")


def _check_dataset(dataset: Dataset) -> None:
    labels_of(dataset.classes)  # an error where two of them would be one folder
    if dataset.source != "simulated" and not dataset.path:
        raise InputError(f"dataset.path: empty, but dataset.source = {dataset.source} reads from there; give a path")


def _check_folds(settings: StudySettings) -> None:
    chosen = [protocols.protocol(name) for name in protocols_of(settings)]
    replicated = next((protocol.name for protocol in chosen if protocol.replicates), "")
    if replicated and settings.dataset.source != "simulated":
        raise InputError(
            f"folds.protocols: {replicated!r} draws training sets that are independent of one another, but "
            f"dataset.source = {settings.dataset.source} has one set of wafers; take duplicate_cv5, or simulated wafers"
        )
    if replicated and len(chosen) > 1:
        raise InputError(
            f"folds.protocols: found {', '.join(protocol.name for protocol in chosen)}, but {replicated} has wafers of "
            "its own, which no other protocol can split; name it alone, and the others in a study of another name"
        )
    for protocol in chosen:
        for fold in settings.folds.run:
            if fold >= protocol.folds > 1:
                raise InputError(f"folds.run: found fold {fold}, but {protocol.name} has 0 to {protocol.folds - 1}")
