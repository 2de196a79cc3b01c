"""The diffusion base: a folder in diffusers' layout, built here, found locally, or fetched from the hub."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from huggingface_hub import snapshot_download
from torch import Tensor
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from waferbench.base.artifacts import write_json
from waferbench.base.errors import InputError
from waferbench.base.files import content_digest, partial, sync, sync_all
from waferbench.base.seals import FACTS, describe
from waferbench.base.sourcefiles import COMMIT, NETWORK
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.sources import NativeBase
from waferbench.synthesis.diffusion.autoencoder import exact_autoencoder, silence_residuals
from waferbench.synthesis.diffusion.latents import halving
from waferbench.synthesis.diffusion.parts import (
    read_scheduler,
    read_text_encoder,
    read_tokenizer,
    read_unet,
    read_vae,
    require_one_size,
)
from waferbench.synthesis.diffusion.tokenizer import build_tokenizer

PARTS = {  # what a base holds: the file that describes each part, and the pattern of its weights
    "vae": ("config.json", "*.safetensors"),
    "unet": ("config.json", "*.safetensors"),
    "text_encoder": ("config.json", "*.safetensors"),
    "tokenizer": ("tokenizer_config.json", "*.json"),
    "scheduler": ("scheduler_config.json", "*.json"),
}
# a scaled-linear schedule as Stable Diffusion's, but noisier at its end (signal 0.016 instead of 0.068):
# a small model would otherwise read the wafer's disc out of what is meant to be pure noise. The network
# predicts v (Salimans & Ho 2022): from predicted noise, the clean latents at that end would come with 60 times
# the network's error, and the first of a few sampling steps would tear the disc apart
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.02,
    "prediction_type": "v_prediction",
    "steps_offset": 1,  # no effect with our spacing; without it diffusers calls the folder outdated
}


@dataclass
class Base:
    """The parts of a latent diffusion model, all frozen, on one device.

    fingerprint: of the UNet's and the autoencoder's files: what an adapter belongs to; "" before it is saved.
    """

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: UniPCMultistepScheduler
    fingerprint: str = ""

    @property
    def alphas(self) -> Tensor:
        """(T,) cumulative products of the noise schedule, on the UNet's device."""
        return self.scheduler.alphas_cumprod.to(self.unet.device, torch.float32)

    @torch.no_grad()
    def embed(self, prompt: str) -> Tensor:
        """(1, tokens, width) of one prompt, as the stock pipeline makes it.

        Raises:
            InputError: the prompt has more tokens than the tokenizer keeps.
        """
        limit = token_limit(self.tokenizer, prompt)
        ids = self.tokenizer(prompt, padding="max_length", max_length=limit, truncation=True, return_tensors="pt")
        return self.text_encoder(ids.input_ids.to(self.unet.device))[0].float()


def token_limit(tokenizer: CLIPTokenizer, prompt: str) -> int:
    """The number of tokens that the tokenizer keeps; `InputError` where the prompt has more."""
    limit, length = tokenizer.model_max_length, len(tokenizer(prompt).input_ids)
    if length > limit:
        raise InputError(f"prompt {prompt!r}: {length} tokens, but this base keeps {limit}; shorten it")
    return limit


def require_size(unet: UNet2DConditionModel, vae: AutoencoderKL, size: int) -> None:
    """`InputError` where a base was made for images of another edge than a source draws."""
    found = unet.config.sample_size
    found = found[0] if isinstance(found, (list, tuple)) else found
    works_at = None if found is None else found * halving(vae)
    if works_at not in (None, size):
        raise InputError(
            f"define.sources: size {size}, but the base draws {found} x {found} latents, which are {works_at} pixels; "
            f"set size to {works_at} or take another base"
        )


def build_base(native: NativeBase, size: int) -> Base:
    """A wafer-native diffusion model: an autoencoder that loses nothing, and a UNet with random weights (torch's global
    seed decides them).

    Args:
        size: pixels that the pipeline works at.

    Raises:
        InputError: the size is not divisible by what the UNet halves, or no level of the UNet attends.
    """
    unet_channels, width = native.unet_channels, native.text_width
    smallest = 2 ** (len(unet_channels) - 1)
    if size % smallest:
        raise InputError(
            f"define.sources: size {size} is not divisible by {smallest}, as the {len(unet_channels)} unet_channels "
            "halve it; change size or drop a channel"
        )
    attends = [level >= native.attention_from for level in range(len(unet_channels))]
    if not any(attends):
        raise InputError(
            f"define.sources: native.attention_from {native.attention_from} leaves none of the "
            f"{len(unet_channels)} levels of unet_channels with attention, and so nothing for an adapter; lower it"
        )
    unet = UNet2DConditionModel(
        sample_size=size,
        in_channels=1,
        out_channels=1,
        block_out_channels=unet_channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if level else "DownBlock2D" for level in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if level else "UpBlock2D" for level in reversed(attends)),
        layers_per_block=1,
        attention_head_dim=2,  # the number of heads, by diffusers' habit for this class
        norm_num_groups=_groups(unet_channels),
        cross_attention_dim=width,
    )
    silence_residuals(unet)
    tokenizer = build_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return _frozen(Base(exact_autoencoder(size), unet, text_encoder, tokenizer, UniPCMultistepScheduler(**SCHEDULE)))


def _groups(channels: Sequence[int]) -> int:
    return math.gcd(8, *channels)


def _frozen(base: Base) -> Base:
    for module in (base.vae, base.unet, base.text_encoder):
        module.requires_grad_(False).eval()
    return base


def save_base(base: Base, folder: str | Path, provenance: Mapping | None = None) -> None:
    """Write a base so that ``StableDiffusionPipeline.from_pretrained(folder)`` loads it; equal weights, equal bytes."""
    folder = Path(folder)
    temporary = partial(folder)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        StableDiffusionPipeline(
            vae=base.vae,
            text_encoder=base.text_encoder,
            tokenizer=base.tokenizer,
            unet=base.unet,
            scheduler=base.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(temporary, safe_serialization=True)
        write_json(temporary / FACTS, {"files": describe(temporary)}, provenance)
        sync_all(temporary)  # before it has its name, as files are
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def find_base(name: str | Path, weights: WeightPlaces, revision: str = "") -> Path:
    """The local folder of a base.

    Args:
        name: a folder, or a hub name such as ``stable-diffusion-v1-5/stable-diffusion-v1-5``.
        weights: where this machine looks for weights.
        revision: of the hub, where a plan has named one by its commit; whatever else it holds is passed over.

    Raises:
        InputError: it is nowhere to be found.
    """
    places = [Path(name)]
    if weights.folder:
        places += [Path(weights.folder) / name, Path(weights.folder) / Path(name).name]
    for place in places:
        if place.is_dir():
            return place
    try:
        return _from_hub(str(name), weights.download, revision if COMMIT.fullmatch(revision) else None)
    except Exception as error:  # the hub has many ways to say that it has no such thing
        tried = "nor on the hub" if weights.download else "nor among earlier downloads"
        raise InputError(
            f"define.sources base {str(name)!r}: no such folder, {tried} ({type(error).__name__}); put the model in "
            f"diffusers layout at {' or '.join(map(str, places))}, set weights.download: true, or take base: native"
        ) from error


def _from_hub(name: str, download: bool, revision: str | None) -> Path:
    """The folder of an earlier download, or of a new one; what was downloaded stays at its revision."""
    patterns = ["model_index.json"] + [f"{part}/{p}" for part in PARTS for p in ("*.json", "*.txt")]
    tensors = ["diffusion_pytorch_model.safetensors", "model.safetensors"]
    patterns += [f"{part}/{file}" for part in PARTS for file in tensors]
    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
    except Exception:  # as many ways as above
        if not download:
            raise
        return Path(snapshot_download(name, revision=revision, allow_patterns=patterns))
    if download:
        with suppress(Exception):  # the rest of its files, where it is not whole; `verify_layout` names what is missing
            snapshot_download(name, revision=found.name, allow_patterns=patterns)
    return found


def verify_layout(folder: Path) -> None:
    """Raise an `InputError` that names the first part of a base that its folder lacks."""
    for part, (description, weights) in PARTS.items():
        if not (folder / part / description).is_file() or not any((folder / part).glob(weights)):
            raise InputError(
                f"{folder}: the base has no {part} ({part}/{description} and {part}/{weights}); expected diffusers' "
                f"layout with {', '.join(PARTS)}; copy the part there, or delete the folder and rerun"
            )


def load_base(folder: str | Path, device: torch.device) -> Base:
    """Load a base, frozen, in float32.

    Raises:
        InputError: a part is missing or is not sound, the parts do not belong together, or the network predicts
            something else than noise or v.
    """
    folder = Path(folder)
    verify_layout(folder)
    scheduler, tokenizer = read_scheduler(folder), read_tokenizer(folder)
    encoder, vae, unet = read_text_encoder(folder), read_vae(folder), read_unet(folder)
    require_one_size(unet, vae, encoder, tokenizer, folder)
    return _frozen(Base(vae.to(device), unet.to(device), encoder.to(device), tokenizer, scheduler, fingerprint(folder)))


def fingerprint(folder: str | Path) -> str:
    """16 hex digits for what is read of a base's UNet and autoencoder, wherever the folder lies."""
    text = "".join(content_digest(Path(folder) / part, NETWORK) for part in ("unet", "vae"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
