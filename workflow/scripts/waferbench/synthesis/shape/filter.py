"""The filter: scores, thresholds at a joint real pass rate, and the reason for each rejection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from waferbench.base.artifacts import read_json, read_weights
from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.config.synthesis.settings import ShapeFilterFit
from waferbench.synthesis.shape.cnn import ShapeNet, fit_shape_net, shape_logits
from waferbench.synthesis.shape.corruptions import CORRUPTIONS, corrupt
from waferbench.synthesis.shape.geometric import geometric_scores

# which ends of each score are bad
TAILS = {"iou": ("low",), "off_disc": ("high",), "radius": ("low", "high"), "offset": ("high",), "cnn": ("low",)}
DECIDES = {
    "geometric": ("iou", "off_disc", "radius", "offset"),
    "cnn": ("cnn",),
    "both": ("iou", "off_disc", "radius", "offset", "cnn"),
}
ALONE = ("cnn", "geometric")  # the two filters whose agreement is told, whichever decides
MIN_WAFERS = 20


@dataclass(frozen=True)
class ShapeFilter:
    """A fitted filter.

    decide: geometric, cnn or both. limits: score -> (lowest, highest) that passes. alone: geometric and cnn -> the
    limits that each would have if it decided alone. spread: score -> distance of the limit from the real median, the
    unit in which failures are compared. pass_level: grey of a passing die.
    """

    decide: str
    limits: dict[str, tuple[float, float]]
    alone: dict[str, dict[str, tuple[float, float]]]
    spread: dict[str, float]
    pass_level: float
    net: ShapeNet
    facts: dict[str, Any]

    def passes(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The verdict on each image uint8 (S, S), bool (N,)."""
        return score(self, np.stack(images))["passes"].to_numpy(bool)

    def to_json(self) -> dict[str, Any]:
        """All but the net's weights; an open limit is null."""
        return {
            "decide": self.decide,
            "limits": _closed(self.limits),
            "alone": {name: _closed(limits) for name, limits in self.alone.items()},
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
        alone = {name: _opened(limits) for name, limits in value["alone"].items()}
        limits, facts = _opened(value["limits"]), value["facts"]
        return cls(value["decide"], limits, alone, value["spread"], value["pass_level"], net.eval(), facts)


def _closed(limits: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """Limits for JSON: an open one is null."""
    return {name: [v if np.isfinite(v) else None for v in pair] for name, pair in limits.items()}


def _opened(limits: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float, float]]:
    """The inverse of `_closed`."""
    return {
        name: (-np.inf if low is None else low, np.inf if high is None else high)
        for name, (low, high) in limits.items()
    }


def read_filter(thresholds: str | Path, cnn: str | Path, device: torch.device) -> ShapeFilter:
    """The filter of its two artifacts, its net on that device."""
    shape_filter = ShapeFilter.from_json(read_json(thresholds), read_weights(cnn))
    shape_filter.net.to(device)
    return shape_filter


def verdict(files: Mapping[str, str], device: torch.device) -> Callable[[Sequence[np.ndarray]], np.ndarray] | None:
    """The verdict on images by the filter among a job's files (``thresholds``, ``cnn``); None where there is none."""
    return read_filter(files["thresholds"], files["cnn"], device).passes if "thresholds" in files else None


def fit(
    images: np.ndarray,
    settings: ShapeFilterFit,
    seed: int,
    device: torch.device | str = "cpu",
    pass_level: float = 128,
) -> ShapeFilter:
    """Fit net and thresholds on real wafers.

    The net learns from one part of the wafers; its threshold is a quantile of the other part, which it has not
    seen (at least a fifth, up to half where wafers are few). The geometric scores learn nothing, so that their
    thresholds are quantiles of all wafers, and no nearer to a disc than half a pixel (`half_a_pixel`). One tail
    rate, common to all scores, is the largest at which the joint pass rate, of all wafers and of those that the net
    has not seen, is no less than ``real_pass_rate``.

    Args:
        images: uint8 (N, S, S) of real rendered wafers of the training split.
        settings: the section ``shape_filter``, but for the sources that it is applied to.
        seed: of everything random here.
        pass_level: grey of a passing die.

    Raises:
        InputError: fewer than 20 wafers.
    """
    if len(images) < MIN_WAFERS:
        raise InputError(
            f"shape_filter: {len(images)} training wafers, at least {MIN_WAFERS} are needed for quantiles; "
            "raise filter.max_per_class or add wafers"
        )
    rng = np.random.default_rng(derive_seed(seed, "shape split"))
    images = images[rng.permutation(len(images))[: settings.max_real]]
    held = max(len(images) // 5, min(len(images) // 2, 200))
    net = fit_shape_net(images[held:], settings.cnn, pass_level, seed, torch.device(device))
    scores = raw_scores(net, images, pass_level)
    unseen = np.arange(len(images)) < held
    limits, tail = joint_limits(scores, DECIDES[settings.decide], settings.real_pass_rate, unseen)
    alone = {name: joint_limits(scores, DECIDES[name], settings.real_pass_rate, unseen)[0] for name in ALONE}
    size = images.shape[-1]
    limits, alone = half_a_pixel(limits, size), {name: half_a_pixel(found, size) for name, found in alone.items()}
    median = scores.median()
    spread = {k: float(max(1e-9, *(abs(v - median[k]) for v in pair if np.isfinite(v)))) for k, pair in limits.items()}
    facts = {"wafers_net": len(images) - held, "wafers_unseen": held, "wafers": len(images), "tail": tail}
    return ShapeFilter(settings.decide, limits, alone, spread, float(pass_level), net, facts)


def raw_scores(net: ShapeNet, images: np.ndarray, pass_level: float) -> pd.DataFrame:
    """The five scores of each image: ``iou, off_disc, radius, offset, cnn``."""
    # rounded, so that a verdict does not hang on the last bits, which depend on the batch
    return geometric_scores(images, pass_level).assign(cnn=shape_logits(net, images, pass_level).round(4))


def joint_limits(
    scores: pd.DataFrame, names: tuple[str, ...], pass_rate: float, unseen: np.ndarray
) -> tuple[dict[str, tuple[float, float]], float]:
    """Limits of the named scores that this share of the rows passes jointly, and the common tail rate.

    Each score gives a row the share of real wafers that are at least as bad as it; the smallest of these is its
    rank, and rows pass from a rank up. Equal rows share a rank, so that the pass rate is never below the one asked.

    Args:
        scores: the scores of N real wafers.
        unseen: bool (N,), the wafers the net was not trained on: they alone set the ranks of ``cnn``, and
            where it has a say, the share holds among them as well.
    """
    badness = {(k, tail): (-scores[k] if tail == "low" else scores[k]).to_numpy() for k in names for tail in TAILS[k]}
    ranks = {}
    for (k, tail), b in badness.items():
        known = np.sort(b[unseen] if k == "cnn" else b)
        ranks[k, tail] = 1 - np.searchsorted(known, b, side="left") / len(known)
    worst = np.min(list(ranks.values()), axis=0)
    counted = [worst, worst[unseen]] if "cnn" in names else [worst]
    tail_rate = min(float(np.sort(w)[int(np.floor((1 - pass_rate) * len(w) + 1e-9))]) for w in counted)
    limits = {}
    for k in names:
        limit = {tail: badness[k, tail][ranks[k, tail] >= tail_rate].max() for tail in TAILS[k]}
        limits[k] = (-float(limit.get("low", np.inf)), float(limit.get("high", np.inf)))
    return limits, tail_rate


def half_a_pixel(limits: Mapping[str, tuple[float, float]], size: int) -> dict[str, tuple[float, float]]:
    """Limits no nearer to a disc than what an ideal one scores whose rim or centre is half a pixel from the nominal.

    Few real wafers may all lie nearer, but there the raster, which adds to these scores, says more than the shape.

    Args:
        size: edge of the images in pixels.
    """
    step = 1 / size  # half a pixel, in halves of the edge
    least = {"iou": ((1 - step) ** 2, 1.0), "off_disc": (0.0, 1 - (1 + step) ** -2), "offset": (0.0, step)}
    least["radius"] = (1 - step, 1 + step)
    found = dict(limits)
    for name in found.keys() & least.keys():
        (low, high), (lowest, highest) = found[name], least[name]
        found[name] = min(low, lowest), max(high, highest)
    return found


def score(shape_filter: ShapeFilter, images: np.ndarray) -> pd.DataFrame:
    """Scores and verdict of each image.

    Args:
        images: uint8 (N, S, S).

    Returns:
        ``iou, off_disc, radius, offset, cnn`` (float), ``passes`` (bool), ``margin`` (float: by how much the worst
        score is beyond its limit, in units of the real spread; 0 or less passes), ``reason`` (str: that score's name;
        empty where the image passes), ``passes_cnn`` and ``passes_geometric`` (bool: the verdict of each alone).
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
    reason = np.where(passes, "", worst).astype(object)
    verdicts = {f"passes_{name}": _within(frame, limits) for name, limits in shape_filter.alone.items()}
    return frame.assign(passes=passes, margin=excess.max(1), reason=reason, **verdicts)


def _within(scores: pd.DataFrame, limits: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Whether all of these scores lie within their limits, bool (N,)."""
    return np.all([scores[name].between(low, high) for name, (low, high) in limits.items()], axis=0)


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
