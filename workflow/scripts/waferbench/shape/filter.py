"""The filter: scores, thresholds at a joint real pass rate, and the reason for each rejection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from waferbench.errors import InputError
from waferbench.seeds import derive_seed
from waferbench.shape.cnn import ShapeNet, fit_shape_net, shape_logits
from waferbench.shape.corruptions import CORRUPTIONS, corrupt
from waferbench.shape.geometric import geometric_scores

# which ends of each score are bad
TAILS = {"iou": ("low",), "off_disc": ("high",), "radius": ("low", "high"), "offset": ("high",), "cnn": ("low",)}
DECIDES = {
    "geometric": ("iou", "off_disc", "radius", "offset"),
    "cnn": ("cnn",),
    "both": ("iou", "off_disc", "radius", "offset", "cnn"),
}
MIN_WAFERS = 20


@dataclass(frozen=True)
class ShapeFilter:
    """A fitted filter.

    decide: geometric, cnn or both. limits: score -> (lowest, highest) that passes. spread: score -> distance of
    the limit from the real median, the unit in which failures are compared. pass_level: grey of a passing die.
    """

    decide: str
    limits: dict[str, tuple[float, float]]
    spread: dict[str, float]
    pass_level: float
    net: ShapeNet
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All but the net's weights; an open limit is null."""
        return {
            "decide": self.decide,
            "limits": {k: [v if np.isfinite(v) else None for v in pair] for k, pair in self.limits.items()},
            "spread": self.spread,
            "pass_level": self.pass_level,
            "cnn": {"size": self.net.size, "channels": [m.out_channels for m in self.net.features[::3]]},
            "facts": self.facts,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> ShapeFilter:
        """The filter of `to_json` and the net's state."""
        net = ShapeNet(value["cnn"]["size"], value["cnn"]["channels"])
        net.load_state_dict(dict(weights))
        limits = {
            k: (-np.inf if low is None else low, np.inf if high is None else high)
            for k, (low, high) in value["limits"].items()
        }
        return cls(value["decide"], limits, value["spread"], value["pass_level"], net.eval(), value.get("facts", {}))


def fit(
    images: np.ndarray,
    settings: Mapping[str, Any],
    seed: int,
    device: torch.device | str = "cpu",
    pass_level: float = 128,
) -> ShapeFilter:
    """Fit net and thresholds on real wafers.

    The net learns from one part of the wafers; its threshold is a quantile of the other part, which it has not
    seen (at least a fifth, up to half where wafers are few). The geometric scores learn nothing, so that their
    thresholds are quantiles of all wafers. One tail rate, common to all scores, is the largest at which the joint
    pass rate is no less than ``real_pass_rate``.

    Args:
        images: uint8 (N, S, S) of real rendered wafers of the training split.
        settings: config section ``shape_filter``.
        seed: of everything random here.
        pass_level: grey of a passing die.

    Raises:
        InputError: fewer than 20 wafers, or an unknown ``decide``.
    """
    if len(images) < MIN_WAFERS:
        raise InputError(
            f"shape_filter: {len(images)} training wafers, at least {MIN_WAFERS} are needed for quantiles; "
            "raise filter.max_per_class or add wafers"
        )
    if settings["decide"] not in DECIDES:
        raise InputError(f"shape_filter.decide: {settings['decide']!r}, expected one of {sorted(DECIDES)}")
    rng = np.random.default_rng(derive_seed(seed, "shape split"))
    images = images[rng.permutation(len(images))[: settings["max_real"]]]
    held = max(len(images) // 5, min(len(images) // 2, 200))
    net = fit_shape_net(images[held:], settings["cnn"], pass_level, seed, torch.device(device))
    scores = raw_scores(net, images, pass_level)
    unseen = np.arange(len(images)) < held
    limits, tail = joint_limits(scores, DECIDES[settings["decide"]], settings["real_pass_rate"], unseen)
    median = scores.median()
    spread = {k: float(max(1e-9, *(abs(v - median[k]) for v in pair if np.isfinite(v)))) for k, pair in limits.items()}
    facts = {"wafers_net": len(images) - held, "wafers_unseen": held, "wafers": len(images), "tail": tail}
    return ShapeFilter(settings["decide"], limits, spread, float(pass_level), net, facts)


def raw_scores(net: ShapeNet, images: np.ndarray, pass_level: float) -> pd.DataFrame:
    """The five scores of each image: ``iou, off_disc, radius, offset, cnn``."""
    return geometric_scores(images, pass_level).assign(cnn=shape_logits(net, images, pass_level))


def joint_limits(
    scores: pd.DataFrame, names: tuple[str, ...], pass_rate: float, unseen: np.ndarray
) -> tuple[dict[str, tuple[float, float]], float]:
    """Limits of the named scores that this share of the rows passes jointly, and the common tail rate.

    Each score gives a row the share of real wafers that are at least as bad as it; the smallest of these is its
    rank, and rows pass from a rank up. Equal rows share a rank, so that the pass rate is never below the one asked.

    Args:
        scores: the scores of N real wafers.
        unseen: bool (N,), the wafers the net was not trained on: they alone set the ranks of ``cnn``.
    """
    badness = {(k, tail): (-scores[k] if tail == "low" else scores[k]).to_numpy() for k in names for tail in TAILS[k]}
    ranks = {}
    for (k, tail), b in badness.items():
        known = np.sort(b[unseen] if k == "cnn" else b)
        ranks[k, tail] = 1 - np.searchsorted(known, b, side="left") / len(known)
    worst = np.min(list(ranks.values()), axis=0)
    tail_rate = float(np.sort(worst)[int(np.floor((1 - pass_rate) * len(worst) + 1e-9))])
    limits = {}
    for k in names:
        limit = {tail: badness[k, tail][ranks[k, tail] >= tail_rate].max() for tail in TAILS[k]}
        limits[k] = (-float(limit.get("low", np.inf)), float(limit.get("high", np.inf)))
    return limits, tail_rate


def score(shape_filter: ShapeFilter, images: np.ndarray) -> pd.DataFrame:
    """Scores and verdict of each image.

    Args:
        images: uint8 (N, S, S).

    Returns:
        ``iou, off_disc, radius, offset, cnn`` (float), ``passes`` (bool), ``reason`` (str: the score that fails
        by most, in units of the real spread; empty where the image passes).
    """
    frame = raw_scores(shape_filter.net, images, shape_filter.pass_level)
    names = list(shape_filter.limits)
    excess = np.zeros((len(frame), len(names)))
    for j, name in enumerate(names):
        low, high = shape_filter.limits[name]
        values = frame[name].to_numpy()
        excess[:, j] = np.maximum(low - values, values - high) / shape_filter.spread[name]
    passes = (excess <= 0).all(1)
    worst = np.array(names, dtype=object)[excess.argmax(1)] if len(frame) else np.zeros(0, object)
    return frame.assign(passes=passes, reason=np.where(passes, "", worst).astype(object))


def rejection_rates(shape_filter: ShapeFilter, images: np.ndarray, seed: int) -> dict[str, float]:
    """Share of corrupted images that the filter rejects, by kind of corruption and over all (``all``)."""
    rates = {}
    for kind in CORRUPTIONS:
        rng = np.random.default_rng(derive_seed(seed, "rejection", kind))
        rates[kind] = float(1 - score(shape_filter, corrupt(images, kind, rng))["passes"].mean())
    return {**rates, "all": float(np.mean(list(rates.values())))}


def admit(scores: pd.DataFrame, filtered: bool, wanted: int) -> pd.DataFrame:
    """Say which of one class's samples are kept, and which of them are the pool.

    Args:
        scores: the table of `score`, in the order in which the samples were drawn.
        filtered: the filter's verdict applies to this source; False keeps every sample.
        wanted: size of the pool.

    Returns:
        The table with bool columns ``kept`` and ``in_pool`` (kept, and among the first ``wanted`` kept).
    """
    kept = scores["passes"].to_numpy(bool) if filtered else np.ones(len(scores), bool)
    return scores.assign(kept=kept, in_pool=kept & (np.cumsum(kept) <= wanted))
