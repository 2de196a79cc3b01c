"""What is wrong with a source's settings, found in seconds and not after the base has been trained for hours."""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTokenizer

from waferbench.config.study import WeightPlaces
from waferbench.config.synthesis.stages import CheckedSource
from waferbench.synthesis.diffusion.base import build_base, find_base, token_limit, verify_layout
from waferbench.synthesis.diffusion.lora import matching_targets


def check_source(source: CheckedSource, weights: WeightPlaces) -> str:
    """The base that a source of LoRA adapters would use: ``native``, or its folder's name.

    Args:
        weights: where this machine looks for a base that is not native.

    Raises:
        InputError: no such base or a part of it missing, sizes that the networks cannot halve, targets that name no
            module, or a prompt that the tokenizer would cut.
    """
    if source.base == "native":
        base, found = build_base(source.native, source.size), "native"
        unet, tokenizer = base.unet, base.tokenizer
        token_limit(tokenizer, source.native.caption)
    else:
        folder = find_base(source.base, weights)
        verify_layout(folder)
        tokenizer, found = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True), folder.name
        with torch.device("meta"):  # the modules' names without their weights
            unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
    matching_targets(unet, source.target_modules)
    token_limit(tokenizer, source.instance_prompt)
    return found
