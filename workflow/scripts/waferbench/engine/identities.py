"""What tells the user's own files from others while a study is planned: data, weights, diffusion bases.

They are known by the content that is read of them. A file that was copied, touched or put elsewhere is the same one;
one that was replaced is another, whatever its size and time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waferbench.base.errors import InputError
from waferbench.base.regular import is_regular
from waferbench.base.sourcefiles import KINDS, NETWORK, WAFERS
from waferbench.config.stages import Ingest, NetworkWeights, Place
from waferbench.config.study import Dataset
from waferbench.engine.memo import known_digest

READS = {"simulated": ("simulated",), "dielist": ("pass_bins",), "g85": ("pass_bins",)}  # beside the classes
ONE_FILE = ("lswmd", "npz", "dielist")
DIGITS = 16  # of an identity, the first of the sha256


@dataclass(frozen=True)
class Weights:
    """The weights manifest, and the folder of the user's own files, which are searched first."""

    manifest: dict[str, dict[str, Any]]
    folder: str = ""

    def of(self, network: str) -> NetworkWeights:
        """A network's entry of the manifest, and the identity of the user's own file for it where there is one."""
        entry = self.manifest.get(network, {})
        # what hubs call model.safetensors is no network's own name: it is not read from there
        sources = [source for source in entry.get("sources", []) if source["kind"] != "hub"]
        names = [f"{network}.safetensors", *(Path(source["file"]).name for source in sources)]
        return NetworkWeights(manifest={network: entry}, own_file=own_weights(self.folder, names))

    def entry(self, network: str) -> NetworkWeights:
        """The entry alone, for what needs a network's mean and deviation."""
        return NetworkWeights(manifest={network: self.manifest.get(network, {})})


def data_file(dataset: Dataset) -> str:
    """The file that ingest reads; "" where it reads a folder or none."""
    one_file = dataset.source in ONE_FILE or (dataset.source == "g85" and os.path.isfile(dataset.path))
    return dataset.path if one_file else ""


def ingested(dataset: Dataset, seed: int) -> Ingest:
    """What reading the wafers reads of the settings: the same data at another place make the same artifacts."""
    read = {name: getattr(dataset, name) for name in READS.get(dataset.source, ())}
    named = dataset.source == "g85" and os.path.isfile(dataset.path)
    return Ingest(
        source=dataset.source,
        classes=dataset.classes,
        seed=seed if dataset.source == "simulated" else None,
        name=Path(dataset.path).name if named else "",
        **read,
    )


def place(dataset: Dataset) -> Place:
    """Where the data lie, and what tells a replaced file or folder from the one before.

    Raises:
        InputError: nothing at ``dataset.path``, a file where a folder is expected or the other way round, or what is
            neither.
    """
    if dataset.source == "simulated":
        return Place()
    path = Path(dataset.path)
    if not path.exists():
        raise InputError(
            f"dataset.path: nothing at {path} (looked in {os.getcwd()}); give the path of your data, for instance "
            f"--config set='dataset.path=/data/LSWMD.pkl'"
        )
    if not path.is_dir():
        is_regular(path)
    if dataset.source != "g85" and (dataset.source == "folder") != path.is_dir():
        expected = "a folder with a folder per class" if dataset.source == "folder" else "a file"
        raise InputError(f"dataset.path: {path} is not {expected}, which dataset.source = {dataset.source} needs")
    kind = KINDS.get(dataset.source, WAFERS)
    return Place(path=dataset.path, source=dataset.source, identity=known_digest(path, kind)[:DIGITS])


def own_wafers(path: str) -> str:
    """The identity of the file or folder of wafers to be judged; "" where nothing is there."""
    return known_digest(Path(path), WAFERS)[:DIGITS] if Path(path).exists() else ""


def own_weights(folder: str, names: Iterable[str]) -> str:
    """The identity of the first of these files that is there, wherever it lies; else empty.

    Args:
        folder: ``weights.folder``, or empty.
        names: what is looked for in it.

    Raises:
        InputError: a pipe, a device or a socket is called so.
    """
    inside = [Path(folder) / name for name in names] if folder else []
    found = next((path for path in inside if path.exists()), None)
    return known_digest(found, NETWORK)[:DIGITS] if found is not None else ""


def hold_weights(network: str, planned: NetworkWeights, folder: str) -> None:
    """Hold a network's weights, after they were loaded, against what the plan knew of the user's own files.

    Args:
        folder: ``weights.folder``, or empty.

    Raises:
        InputError: the user's own file is another one, new or gone.
    """
    now = Weights(planned.manifest, folder).of(network).own_file
    require_planned(f"weights of {network} in {folder or 'no folder of your own'}", planned.own_file, now)


def require_planned(what: str, planned: str, now: str) -> None:
    """`InputError` where something was replaced after it was looked at."""
    if planned != now:
        raise InputError(
            f"{what}: changed since the study was planned: found {now or 'none'}, expected {planned or 'none'} (its "
            "content or revision); run the same command again, which plans with what is there now"
        )
