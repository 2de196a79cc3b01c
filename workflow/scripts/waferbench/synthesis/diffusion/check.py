"""What is wrong with a source's settings, found in seconds and not after the base has been trained for hours."""

from __future__ import annotations

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from waferbench.base.errors import InputError
from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.stages import CheckedSource
from waferbench.synthesis.diffusion.base import build_base, find_base, require_size, token_limit, verify_layout
from waferbench.synthesis.diffusion.lora import matching_targets
from waferbench.synthesis.diffusion.parts import described, described_unet, read_tokenizer


def check_source(source: CheckedSource, weights: WeightPlaces) -> str:
    """The base that a source of LoRA adapters would use: ``native``, or its folder's name.

    Args:
        weights: where this machine looks for a base that is not native.

    Raises:
        InputError: no such base, a part of it missing or not sound, a base of another size, sizes that the networks
            cannot halve, targets that name no module, guidance without a direction, or a prompt that the tokenizer
            would cut.
    """
    if source.base == "native":
        base, found = build_base(source.native, source.size), "native"
        unet, tokenizer = base.unet, base.tokenizer
        token_limit(tokenizer, source.native.caption)
    else:
        folder = find_base(source.base, weights)
        verify_layout(folder)
        tokenizer, unet, found = read_tokenizer(folder), described_unet(folder), folder.name
        require_size(unet, described(AutoencoderKL, folder / "vae"), source.size)
    if source.guidance > 1 and source.guidance_against == "base" and not source.alpha:
        raise InputError(
            f"define.sources alpha: 0 leaves the adapters without effect, and guidance {source.guidance} against the "
            "base without a direction; raise alpha or set guidance to 1"
        )
    matching_targets(unet, source.target_modules)
    token_limit(tokenizer, source.instance_prompt)
    return found
