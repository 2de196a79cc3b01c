"""Every network that a synthesis study will use."""

from __future__ import annotations

from collections.abc import Callable

from waferbench.config.stages import NetworkWeights
from waferbench.config.synthesis.grid import SynthesisGrid
from waferbench.config.synthesis.settings import SynthesisSettings
from waferbench.config.synthesis.sources import Lora
from waferbench.config.synthesis.stages import CheckedBackbone, CheckedQuality, CheckedSource, CheckNetworks


def networks_of(settings: SynthesisSettings, weights: Callable[[str], NetworkWeights]) -> CheckNetworks:
    """Every network that the study will use.

    Args:
        weights: how a network's weights are known, by its name.
    """
    grid, network = SynthesisGrid(settings), settings.quality.network
    backbones = {name: settings.define.backbones[name] for name in settings.backbones}
    measured = bool(grid.sources) and "@" not in network  # else by a classifier of the study
    return CheckNetworks(
        backbones={name: CheckedBackbone.of(one, name=name, weights=weights(name)) for name, one in backbones.items()},
        sources={name: CheckedSource.of(grid.sources[name]) for name in grid.of_kind(Lora)},
        quality=CheckedQuality.of(settings.quality, weights=weights(network)) if measured else None,
    )
