"""The pretrained weights that a study has used, found again where it found them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from waferbench.tools.provenance.files import Outside, outside


def used_weights(networks: Mapping, places: Mapping) -> dict[str, Outside]:
    """Weight files by network, ready diffusion bases by source.

    Args:
        networks: settings of the rule ``check_networks``, which names them all.
        places: the config section ``weights``; nothing is fetched whatever it says.

    Raises:
        InputError: weights that the study has used are no longer there, or are others.
    """
    places = {**places, "download": False}
    wanted = [(entry["name"], entry["weights"]) for entry in networks["backbones"].values() if entry["pretrained"]]
    quality = networks["quality"]
    if quality:
        wanted.append((quality["network"], quality["weights"]))
    found = {}
    if wanted:
        from waferbench.learning.backbones import find_weights  # torch and timm, slow to import
    for name, entry in wanted:
        path, source = find_weights(name, {**places, **entry})
        origin = source.get("url") or source.get("repo") or source.get("package") or ""
        licence = entry["manifest"].get(name, {}).get("licence", "")
        found[name] = outside(path, f"pretrained weights of {name}", licence, origin, _named(path, source))
    for source in networks["sources"].values():
        if source["base"] != "native":
            from waferbench.synthesis.diffusion.base import find_base

            folder = find_base(source["base"], places.get("folder", ""), False)
            found[source["base"]] = outside(folder, f"diffusion base {source['base']}", name=source["base"])
    return found


def _named(path: Path, source: Mapping) -> str:
    """What a weight file is called wherever the environment lies: a wheel's by its package."""
    return f"{source['package']}/{source['file']}" if source["kind"] == "wheel" else str(path)
