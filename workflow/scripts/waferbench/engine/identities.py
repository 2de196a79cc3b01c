"""What tells the user's own files from others while a study is planned: data, weights, diffusion bases."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from waferbench.base.sourcefiles import fingerprint, own_weights
from waferbench.config.stages import Ingest, NetworkWeights, Place
from waferbench.config.study import Dataset

READS = {"simulated": ("simulated",), "dielist": ("pass_bins",), "g85": ("pass_bins",)}  # beside the classes
ONE_FILE = ("lswmd", "npz", "dielist")


@dataclass(frozen=True)
class Weights:
    """The weights manifest, and the folder of the user's own files, which are searched first."""

    manifest: dict[str, dict[str, Any]]
    folder: str = ""

    def of(self, network: str) -> NetworkWeights:
        """A network's entry of the manifest, and the identity of the user's own file for it where there is one."""
        entry = self.manifest.get(network, {})
        names = [f"{network}.safetensors", *(Path(source["file"]).name for source in entry.get("sources", []))]
        return NetworkWeights(manifest={network: entry}, own_file=own_weights(self.folder, names))

    def entry(self, network: str) -> NetworkWeights:
        """The entry alone, for what needs a network's mean and deviation."""
        return NetworkWeights(manifest={network: self.manifest.get(network, {})})

    def of_folder(self, name: str) -> str:
        """The identity of a network that is a folder here, at this path or in the user's own folder."""
        return own_weights(self.folder, [name, Path(name).name], Path(name))


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
    """Where the data lie, and what tells a replaced file or folder from the one before."""
    if dataset.source == "simulated":
        return Place()
    return Place(path=dataset.path, identity=fingerprint(dataset))
