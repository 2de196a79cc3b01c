"""LoRA adapter files: safetensors that diffusers' ``load_lora_weights`` reads, with where they belong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from waferbench.base.artifacts import KEY, RERUN, SEAL, with_metadata
from waferbench.base.errors import InputError, readable
from waferbench.base.files import atomic, canonical_json
from waferbench.base.seals import BLANK, seal
from waferbench.config.synthesis.sources import LoraTraining
from waferbench.synthesis.diffusion.base import Base

CONFIG = "lora_adapter_metadata"  # where diffusers keeps rank, alpha and targets
PREFIX = "unet."


def write_adapter(
    path: str | Path, tensors: Mapping[str, Tensor], settings: LoraTraining, provenance: Mapping | None = None
) -> None:
    """Write one adapter.

    Args:
        tensors: ``<module>.lora_A.weight`` (rank, in) and ``<module>.lora_B.weight`` (out, rank), without ``unet.``.
        settings: those that it was trained with: rank, alpha and targets go into the file.
        provenance: should hold ``base``, the fingerprint of the base it was trained on.
    """
    ready = {PREFIX + name: tensors[name].detach().float().cpu().contiguous().clone() for name in sorted(tensors)}
    config = {
        f"{PREFIX}r": settings.rank,
        f"{PREFIX}lora_alpha": settings.alpha,
        f"{PREFIX}target_modules": sorted(settings.target_modules),
    }
    metadata = {"format": "pt", KEY: canonical_json(dict(provenance or {})), CONFIG: canonical_json(config)}
    with atomic(path) as temporary:
        temporary.write_bytes(with_metadata(save(ready), {**metadata, SEAL: BLANK}))
        seal(temporary)


def read_adapter(path: str | Path, base: Base) -> tuple[dict[str, Tensor], float]:
    """An adapter's tensors by name without ``unet.``, and its scale alpha / rank.

    Raises:
        InputError: unreadable, or trained on another base.
    """
    with readable(path, "LoRA adapter", RERUN), safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        tensors = {name.removeprefix(PREFIX): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        owner = json.loads(metadata.get(KEY, "{}")).get("base", base.fingerprint)
        config = json.loads(metadata.get(CONFIG, "{}"))
    if owner != base.fingerprint:
        raise InputError(
            f"{path}: the adapter was trained on base {owner}, but this base is {base.fingerprint}; "
            "give the base it was trained on, or train the adapter anew"
        )
    ranks = {tensor.shape[0] for name, tensor in tensors.items() if name.endswith("lora_A.weight")}
    if not ranks:
        raise InputError(f"{path}: no lora_A.weight in it; expected a LoRA adapter of a UNet as diffusers writes it")
    with readable(path, "LoRA adapter", RERUN):
        rank = config.get(f"{PREFIX}r", max(ranks))
        return tensors, float(config.get(f"{PREFIX}lora_alpha", rank)) / rank


class AdapterSwitch:
    """Puts one adapter after another into one UNet by adding B A alpha / rank to pristine weights.

    Same function as the stock pipeline's unmerged adapter, without its two extra products a layer.
    As a context it leaves the UNet pristine.
    """

    def __init__(self, base: Base):
        self.base = base
        self.pristine: dict[str, Tensor] = {}

    def __enter__(self) -> AdapterSwitch:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    @torch.no_grad()
    def clear(self) -> None:
        """Take the adapter out, bit for bit."""
        modules = dict(self.base.unet.named_modules())
        for name, weight in self.pristine.items():
            modules[name].weight.copy_(weight)

    @torch.no_grad()
    def load(self, path: str | Path) -> None:
        """Replace whatever adapter is in the UNet by this one.

        Raises:
            InputError: it does not fit this UNet.
        """
        tensors, scale = read_adapter(path, self.base)
        self.clear()
        modules = dict(self.base.unet.named_modules())
        for name in sorted({key.rsplit(".lora_", 1)[0] for key in tensors}):
            module = modules.get(name)
            down, up = tensors.get(f"{name}.lora_A.weight"), tensors.get(f"{name}.lora_B.weight")
            fits = isinstance(module, nn.Linear) and down is not None and up is not None
            if not fits or (up.shape[0], down.shape[1]) != tuple(module.weight.shape):
                raise InputError(f"{path}: {name} does not fit this base's UNet; give the base it was trained on")
            pristine = self.pristine.setdefault(name, module.weight.clone())
            module.weight.copy_(pristine + scale * (up @ down).to(pristine))
