"""The synthesis study: which synthetic wafers make a defect classifier better, by how much, and can that be trusted?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from waferbench.base.tables import TABLES
from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.checks import check_synthesis
from waferbench.config.synthesis.grid import SynthesisGrid
from waferbench.config.synthesis.networks import networks_of
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.config.synthesis.stages import CheckNetworks
from waferbench.synthesis.needs import looks
from waferbench.tools.doctor import Check, Finding
from waferbench.tools.doctor.study import check_networks, check_room
from waferbench.tools.provenance.files import Outside, outside
from waferbench.tools.provenance.weights import weight_file
from waferbench.tracks import Track


def examine(settings: SynthesisSettings) -> dict[str, Check]:
    """The doctor's checks of the networks and of the room that the study takes."""
    return {"weights": lambda: _weights(settings), "disk": lambda: _disk(settings)}


def _weights(settings: SynthesisSettings) -> Iterator[Finding]:
    networks = networks_of(settings, lambda _: NetworkWeights())
    shipped = WeightSearch.of(settings.weights, download=False)  # by the manifest of the workflow
    return check_networks(looks(networks, lambda _: shipped), settings.weights.download)


def _disk(settings: SynthesisSettings) -> Iterator[Finding]:
    folder = Path("results", settings.study)
    return check_room(study_size(settings), "samples, classifiers and features of the study", folder)


def study_size(settings: SynthesisSettings) -> int:
    """Bytes that the study takes at most, without the weights of its generators.

    Samples are counted uncompressed and twice (artifact and shards), a classifier as its float32 parameters, features
    for the wafers of its training alone. Real wafers are left out: how many there are is known once they are read.
    """
    import timm
    import torch

    grid = SynthesisGrid(settings)
    runs = len(grid.seeds) * sum(len(grid.folds(name)) for name in grid.protocols)
    drawn = sum(grid.pool(name).max_raw for name in grid.sources)
    samples = 2 * runs * len(grid.classes) * drawn * settings.render.size**2
    cells = 0
    for name in settings.backbones:
        with torch.device("meta"):  # shapes without weights
            network = timm.create_model(name, pretrained=False, num_classes=len(grid.classes))
        parameters = sum(tensor.numel() for tensor in network.state_dict().values())
        cells += parameters + len(grid.classes) * settings.budget.target * network.num_features
    return samples + 4 * runs * len(settings.conditions) * cells


def used_weights(told: Mapping[str, Mapping[str, Any]], places: WeightPlaces) -> dict[str, Outside]:
    """Weight files by network, ready diffusion bases by name; nothing is fetched.

    Raises:
        InputError: weights that the study has used are no longer there, or are others.
    """
    networks = CheckNetworks.model_validate(told["check_networks"])
    wanted = {name: one.weights for name, one in networks.backbones.items() if one.pretrained}
    if networks.quality:
        wanted[networks.quality.network] = networks.quality.weights
    found = {name: weight_file(name, weights, places) for name, weights in wanted.items()}
    for base in [source.base for source in networks.sources.values() if source.base != "native"]:
        from waferbench.synthesis.diffusion.base import find_base

        folder = find_base(base, WeightPlaces(folder=places.folder))
        found[base] = outside(folder, f"diffusion base {base}", name=base)
    return found


TRACK = Track(
    name="synthesis",
    target="all",
    question="Which synthetic wafers make my classifier better, by how much, and can I trust it?",
    settings=SynthesisSettings,
    checks=(check_synthesis,),
    page="report.html",
    tables=TABLES,
    doctor=examine,
    weights=used_weights,
)
