"""Which image edge a list of channels means. Imports nothing heavy: settings are checked with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from waferbench.base.errors import InputError

SEED_EDGE = 4  # pixels of the generator's first feature map, and of the discriminator's last


def image_size(settings: Mapping[str, Any], where: str = "gan") -> int:
    """Edge in pixels that both networks work at.

    Args:
        settings: a ``define.sources`` entry of kind ``ts_hinge_gan``.
        where: its name, for the error.

    Raises:
        InputError: the two lists of channels mean different sizes.
    """
    made = SEED_EDGE * 2 ** (len(settings["generator_channels"]) - 1)
    judged = SEED_EDGE * 2 ** len(settings["discriminator_channels"])
    if made != judged:
        raise InputError(
            f"{where}: generator_channels has {len(settings['generator_channels'])} entries, which draws {made} "
            f"pixels; discriminator_channels has {len(settings['discriminator_channels'])}, which expects {judged}; "
            "give the generator one entry more than the discriminator"
        )
    return made
