"""LoRA adapter files: safetensors that diffusers' ``load_lora_weights`` reads, with where they belong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
ADAPTABLE = (nn.Linear, nn.Conv2d)  # layers of a UNet that an adapter can be of


def write_adapter(
    path: str | Path, tensors: Mapping[str, Tensor], settings: LoraTraining, provenance: Mapping | None = None
) -> None:
    """Write one adapter.

    Args:
        tensors: ``<module>.lora_A.weight`` (rank, in) and ``<module>.lora_B.weight`` (out, rank), without ``unet.``;
            of a convolution (rank, in, k, k) and (out, rank, 1, 1).
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

    Same function as the stock pipeline's unmerged adapter, without its two extra products a layer. The weights with and
    without the adapter lie side by side, so that going from one to the other copies nothing. As a context it leaves the
    UNet pristine.
    """

    def __init__(self, base: Base):
        self.base = base
        self.pristine: dict[str, Tensor] = {}
        self.adapted: dict[str, Tensor] = {}

    @property
    def adapts(self) -> bool:
        """Whether the adapter changes any weight."""
        return any(not torch.equal(weight, self.pristine[name]) for name, weight in self.adapted.items())

    def __enter__(self) -> AdapterSwitch:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Take the adapter out, bit for bit."""
        self._show(self.pristine)
        self.adapted = {}

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """The UNet without the adapter, for as long as the context is open."""
        self._show(self.pristine)
        try:
            yield
        finally:
            self._show(self.adapted)

    def _show(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in weights.items():
            self.base.unet.get_submodule(name).weight.data = weight

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
            fits = isinstance(module, ADAPTABLE) and down is not None and up is not None
            if not fits or (up.shape[0], *down.shape[1:]) != tuple(module.weight.shape) or up[0].numel() != len(down):
                raise InputError(f"{path}: {name} does not fit this base's UNet; give the base it was trained on")
            pristine = self.pristine.setdefault(name, module.weight.data)
            change = (up.flatten(1) @ down.flatten(1)).view_as(pristine)
            self.adapted[name] = pristine + scale * change.to(pristine)
        self._show(self.adapted)
