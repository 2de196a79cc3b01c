"""What the autoencoder of a base loses of a wafer's class: the most that any adapter on it can reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from waferbench.synthesis.diffusion.latents import decode, encode

MOST = 200  # wafers of a class, the first ones: the autoencoder of a ready base takes a second for each on a CPU


def first_of_each(labels: np.ndarray, most: int = MOST) -> np.ndarray:
    """Positions of the first so many wafers of each class, in order; labels str (N,)."""
    return np.flatnonzero(pd.Series(labels).groupby(labels).cumcount().to_numpy() < most)


def reconstruct(
    vae: torch.nn.Module, images: np.ndarray, size: int, device: torch.device, precision: str = "auto"
) -> np.ndarray:
    """Images through an autoencoder and back, uint8 (N, S, S) as they came.

    Args:
        images: uint8 (N, S, S) grey.
        size: pixels that the base works at.
    """
    latents = encode(vae, images, np.arange(len(images)) * 8, size, device, precision).float()
    return decode(vae, latents, images.shape[-1], precision)


def judge_reconstructions(
    images: np.ndarray,
    decoded: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    judge: Callable[[np.ndarray], np.ndarray],
) -> pd.DataFrame:
    """How often a judge gives wafers their class before and after an autoencoder.

    Args:
        images, decoded: uint8 (N, S, S).
        labels: str (N,), label of each wafer; a class may have none.
        classes: labels, in the order of the judge's classes.
        judge: images -> int (N,), position of the class that it calls each.

    Returns:
        A row a class that has wafers: label, n, agreement_original, agreement (shares), error (mean absolute, greys).
    """
    truth = np.array([classes.index(label) for label in labels], dtype=int)
    right = pd.DataFrame(
        {
            "label": labels,
            "agreement_original": judge(images) == truth,
            "agreement": judge(decoded) == truth,
            "error": np.abs(decoded.astype(np.int16) - images).mean((1, 2)),
        }
    )
    groups = right.groupby("label", sort=False)
    table = groups.mean().assign(n=groups.size())
    return table.reindex([label for label in classes if label in table.index]).rename_axis("label").reset_index()
