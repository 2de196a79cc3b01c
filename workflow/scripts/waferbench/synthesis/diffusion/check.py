"""What is wrong with a source's settings, found in seconds and not after the base has been trained for hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTokenizer

from waferbench.synthesis.diffusion.base import build_base, find_base, token_limit, verify_layout
from waferbench.synthesis.diffusion.lora import matching_targets


def check_source(settings: Mapping[str, Any], weights: Mapping[str, Any]) -> str:
    """The base that a ``define.sources`` entry of kind ``db_sd_lora`` would use: ``native``, or its folder's name.

    Args:
        settings: the entry.
        weights: the config section ``weights``.

    Raises:
        InputError: no such base or a part of it missing, sizes that the networks cannot halve, targets that name no
            module, or a prompt that the tokenizer would cut.
    """
    if settings["base"] == "native":
        base, found = build_base(settings), "native"
        unet, tokenizer = base.unet, base.tokenizer
        token_limit(tokenizer, settings["native"]["caption"])
    else:
        folder = find_base(settings["base"], **weights)
        verify_layout(folder)
        tokenizer, found = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True), folder.name
        with torch.device("meta"):  # the modules' names without their weights
            unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
    matching_targets(unet, settings["target_modules"])
    token_limit(tokenizer, settings["instance_prompt"])
    return found
