"""Whether the networks of a study are at hand, each with its weights. Light to import."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.stages import CheckedQuality, CheckedSource, CheckNetworks

Look = Callable[[], str]  # the name of the weights that are there ("": none are needed), or an `InputError`


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
