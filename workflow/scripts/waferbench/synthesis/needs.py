"""What the synthesis study needs of a machine: networks with their weights, room on the disk. Light to import."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from waferbench.config.grid import Grid
from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.config.synthesis.sources import Lora
from waferbench.config.synthesis.stages import CheckedBackbone, CheckedQuality, CheckedSource, CheckNetworks

Look = Callable[[], str]  # the name of the weights that are there ("": none are needed), or an `InputError`


def networks_of(settings: SynthesisSettings, weights: Callable[[str], NetworkWeights]) -> CheckNetworks:
    """Every network that the study will use.

    Args:
        weights: how a network's weights are known, by its name.
    """
    grid, network = Grid(settings), settings.quality.network
    backbones = {name: settings.define.backbones[name] for name in settings.backbones}
    measured = bool(grid.sources) and "@" not in network  # else by a classifier of the study
    return CheckNetworks(
        backbones={name: CheckedBackbone.of(one, name=name, weights=weights(name)) for name, one in backbones.items()},
        sources={name: CheckedSource.of(grid.sources[name]) for name in grid.of_kind(Lora)},
        quality=CheckedQuality.of(settings.quality, weights=weights(network)) if measured else None,
    )


def looks(networks: CheckNetworks, search: Callable[[NetworkWeights], WeightSearch]) -> dict[str, Look]:
    """By network or source, what looks for its weights, which are not read but for their digest.

    Args:
        search: where this machine looks for a network's weights.
    """
    found: dict[str, Look] = {}
    for name, one in networks.backbones.items():
        found[name] = partial(_backbone, name, one.pretrained, search(one.weights))
    if networks.quality:
        found[networks.quality.network] = partial(_measure, networks.quality, search(networks.quality.weights))
    for name, source in networks.sources.items():
        found[name] = partial(_source, source, search(NetworkWeights()))
    return found


def _backbone(name: str, pretrained: bool, weights: WeightSearch) -> str:
    from waferbench.learning.backbones import check_backbone

    return check_backbone(name, pretrained, weights)


def _measure(quality: CheckedQuality, weights: WeightSearch) -> str:
    from waferbench.synthesis.quality.features import INCEPTION, find_inception

    if quality.network == INCEPTION:
        return find_inception(quality.image_size, weights).name
    return _backbone(quality.network, True, weights)


def _source(source: CheckedSource, places: WeightPlaces) -> str:
    from waferbench.synthesis.diffusion.check import check_source

    return check_source(source, places)


def study_size(settings: SynthesisSettings) -> int:
    """Bytes that the study takes at most, without the weights of its generators.

    Samples are counted uncompressed and twice (artifact and shards), a classifier as its float32 parameters, features
    for the wafers of its training alone. Real wafers are left out: how many there are is known once they are read.
    """
    import timm
    import torch

    grid = Grid(settings)
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
