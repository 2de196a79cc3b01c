"""What a classifier looked at: Grad-CAM of the wafers that it gets wrong.

Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization", 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from waferbench.base import tables
from waferbench.base.errors import InputError
from waferbench.classification.train import Normaliser
from waferbench.learning.runtime import HalvingBatches

EDGE = 7  # pixels a side of the map that is looked at: what 224-pixel images leave at the end


def surest_mistakes(predictions: pd.DataFrame, labels: Sequence[str], count: int) -> pd.DataFrame:
    """The wafers called wrongly with the greatest probability, surest first.

    Args:
        predictions: softmax table by `waferbench.classification.predictions.prediction_table`.
        labels: slugs of the classes.

    Returns:
        At most ``count`` rows: wafer_id, true and called (int, positions in ``labels``), probability (of the class
        called, 0-1).
    """
    wrong = predictions[predictions["y_true"] != predictions["y_pred"]]
    place = {label: i for i, label in enumerate(labels)}
    called = wrong["y_pred"].map(place).to_numpy(np.int64)
    everything = wrong[tables.probabilities(labels)].to_numpy(np.float32)
    columns = {
        "wafer_id": wrong["wafer_id"].to_numpy(),
        "true": wrong["y_true"].map(place).to_numpy(np.int64),
        "called": called,
        "probability": everything[np.arange(len(wrong)), called],
    }
    table = pd.DataFrame(columns)
    return table.sort_values(["probability", "wafer_id"], ascending=[False, True], ignore_index=True).head(count)


def explain(
    model: nn.Module,
    normalise: Normaliser,
    images: np.ndarray,
    classes: np.ndarray,
    device: torch.device,
    batch: int = 64,
) -> np.ndarray:
    """Grad-CAM of each image for one class.

    Args:
        images: uint8 (N, S, S), grey.
        classes: int (N,), the class that each image is explained for.

    Returns:
        uint8 (N, S, S), 0-255; 255 where the class finds most evidence, all 0 where it finds none.
    """
    model = model.to(device).eval()

    def some(rows: np.ndarray) -> np.ndarray:
        grey = torch.from_numpy(images[rows]).to(device).float()
        maps = grad_cam(model, normalise(grey), torch.from_numpy(classes[rows]).to(device))
        wide = F.interpolate(maps[:, None], size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        return (wide * 255).round().to(torch.uint8).cpu().numpy()

    if not len(images):
        return np.zeros_like(images)
    return np.concatenate(HalvingBatches("Grad-CAM", batch).run(some, [np.arange(len(images))]))


def grad_cam(model: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The last feature map weighted by the mean gradient of a class's logit (Selvaraju et al. 2017, eq. 1 and 2).

    Of small images the last map is a few pixels and tells no place: then the last one of at least `EDGE` pixels a side.

    Args:
        model: a timm network in evaluation mode.
        images: float (N, 3, S, S), normalised.
        classes: int64 (N,).

    Returns:
        float (N, h, w), 0-1: each map over its own maximum, 0 where nothing speaks for the class.

    Raises:
        InputError: features that are no grid, or a head that does not read them.
    """
    with torch.no_grad():
        features = model.forward_features(images)
    if min(as_grid(model, features).shape[2:]) >= EDGE or (inner := _inner_maps(model, images, classes)) is None:
        features = features.detach().requires_grad_()
        logits = model.forward_head(features.clone()).float()  # a copy: heads may work in place
        (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), features)
        gradient, maps = as_grid(model, gradient).float(), as_grid(model, features.detach()).float()
    else:
        maps, gradient = inner
    if not gradient.any():
        raise InputError(
            f"Grad-CAM: the head of {type(model).__name__} reads none of its last feature map (a class token alone, "
            "perhaps); take a backbone that pools its map"
        )
    weighted = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()
    return weighted / weighted.amax((1, 2), keepdim=True).clamp_min(torch.finfo(weighted.dtype).tiny)


def _inner_maps(
    model: nn.Module, images: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Of the network's stages the last with `EDGE` pixels a side, and its gradient: float (N, C, h, w) both.

    None where no stage, as timm lists them in ``feature_info``, has so many.
    """
    fine = [stage for stage in getattr(model, "feature_info", []) if images.shape[-1] // stage["reduction"] >= EDGE]
    if not fine:
        return None
    found: list[torch.Tensor] = []
    handle = model.get_submodule(fine[-1]["module"]).register_forward_hook(lambda _, __, output: found.append(output))
    try:
        with torch.enable_grad():
            logits = model(images.requires_grad_()).float()
    finally:
        handle.remove()
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), found[0])
    both = found[0].detach().float(), gradient.float()
    return both if both[0].shape[1] == fine[-1]["num_chs"] else tuple(x.permute(0, 3, 1, 2) for x in both)


def as_grid(model: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Features of a timm network as (N, C, h, w).

    They are (N, C, h, w), (N, h, w, C) as Swin's, or tokens (N, T, C) of a square grid, class tokens first.

    Raises:
        InputError: none of these.
    """
    channels = model.num_features
    if features.ndim == 3 and features.shape[2] == channels:
        tokens = features[:, getattr(model, "num_prefix_tokens", 0) :]
        edge = math.isqrt(tokens.shape[1])
        if edge**2 == tokens.shape[1]:
            return tokens.transpose(1, 2).unflatten(2, (edge, edge))
    if features.ndim == 4:
        if getattr(model, "output_fmt", "NCHW") == "NHWC" and features.shape[3] == channels:
            return features.permute(0, 3, 1, 2)
        if features.shape[1] == channels:
            return features
    raise InputError(
        f"Grad-CAM: {type(model).__name__} gives features {tuple(features.shape)}; expected a grid of {channels} "
        "channels, first or last, or tokens of a square grid; take another backbone"
    )
