"""The circular-shape filter: scores of known shapes, joint limits, rejection of corruptions."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from waferbench.base.errors import InputError
from waferbench.base.tables import SAMPLES, TABLES
from waferbench.config.resolve import validated
from waferbench.config.study import Drawing
from waferbench.config.synthesis.settings import ShapeFilterFit, ShapeNetSettings, SynthesisSettings
from waferbench.synthesis.shape.corruptions import CORRUPTIONS, corrupt
from waferbench.synthesis.shape.filter import (
    ShapeFilter,
    admit,
    fit,
    half_a_pixel,
    joint_limits,
    rejection_rates,
    score,
)
from waferbench.synthesis.shape.geometric import disc, geometric_scores
from waferbench.wafers.render import render
from waferbench.wafers.store import WaferStore

REAL = Path(__file__).parents[3] / "../shared/data/wm811k/wm811k_labelled.npz"
NET = ShapeNetSettings(size=64, channels=(4, 8, 16), steps=40, batch=32, lr=3.0e-3)
SETTINGS = ShapeFilterFit(decide="both", cnn=NET)
DRAWING = Drawing(size=64)


def wafers(count: int, seed: int = 0) -> np.ndarray:
    """Rendered round wafers of several die grids, with failing dies at random."""
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(count):
        rows, columns = rng.integers(24, 60, 2)
        y = (2 * np.arange(rows) + 1)[:, None] / rows - 1
        x = (2 * np.arange(columns) + 1)[None] / columns - 1
        failing = rng.random((rows, columns)) < rng.uniform(0, 0.6)
        maps.append(((x**2 + y**2 <= 1) * (1 + failing)).astype(np.uint8))
    return render(maps, DRAWING)


@pytest.fixture(scope="module")
def fitted() -> ShapeFilter:
    torch.set_num_threads(1)
    return fit(wafers(200), SETTINGS, seed=1)


def test_nominal_disc_scores_perfectly():
    scores = geometric_scores(disc(64)[None].astype(np.uint8) * 128).iloc[0]
    assert scores["iou"] == 1 and scores["off_disc"] == 0 and scores["offset"] == pytest.approx(0, abs=1e-9)
    assert scores["radius"] == pytest.approx(1, abs=0.005)


def test_scores_measure_what_they_are_named_for():
    small = disc(64, 0.5).astype(np.uint8) * 255
    shifted = np.roll(small, (8, 6), (0, 1))
    square = np.full((64, 64), 128, np.uint8)
    frame = geometric_scores(np.stack([small, shifted, square, np.zeros_like(square)]))
    assert frame["radius"][0] == pytest.approx(0.5, abs=0.01)
    assert frame["iou"][0] == pytest.approx(0.25, abs=0.01)
    assert frame["offset"][1] == pytest.approx(10 / 32, abs=1e-6)
    assert frame["off_disc"][2] == pytest.approx(1 - np.pi / 4, abs=0.01)
    assert frame.loc[3].tolist() == [0, 1, 0, 1]


def test_rotated_ellipse_keeps_its_radius():
    y, x = np.mgrid[-1:1:128j, -1:1:128j]
    u, v = (x + y) / 2**0.5, (x - y) / 2**0.5
    mask = (u / 0.9) ** 2 + (v / 0.4) ** 2 <= 1
    assert geometric_scores(mask[None].astype(np.uint8) * 128)["radius"][0] == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("decide", [("iou",), ("iou", "radius", "offset")])
def test_joint_limits_reject_no_more_than_asked(decide):
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(rng.normal(size=(1000, 3)), columns=["iou", "radius", "offset"])
    limits, _ = joint_limits(scores, decide, 0.95, np.ones(1000, bool))
    passes = np.all([(scores[k] >= low) & (scores[k] <= high) for k, (low, high) in limits.items()], axis=0)
    assert 0.95 <= passes.mean() <= 0.955
    assert limits["iou"][1] == np.inf


def test_joint_limits_with_equal_scores_pass_all():
    limits, _ = joint_limits(pd.DataFrame({"iou": np.ones(50)}), ("iou",), 0.99, np.ones(50, bool))
    assert limits["iou"][0] == 1


def test_unseen_wafers_alone_set_the_net_limit():
    seen = np.full(500, 10.0)  # overconfident on what it was trained on
    scores = pd.DataFrame({"cnn": np.concatenate([np.linspace(0, 1, 500), seen])})
    limits, _ = joint_limits(scores, ("cnn",), 0.99, np.arange(1000) < 500)
    assert 0.99 <= (scores["cnn"][:500] >= limits["cnn"][0]).mean() < 0.995


@pytest.mark.parametrize("decide", ["geometric", "cnn", "both"])
def test_filter_passes_wafers_and_rejects_corruptions(decide):
    torch.set_num_threads(1)
    shape_filter = fit(wafers(200), ShapeFilterFit(decide=decide, cnn=NET), seed=1)
    assert score(shape_filter, wafers(200))["passes"].mean() >= 0.985
    assert score(shape_filter, wafers(200, seed=9))["passes"].mean() >= 0.95
    assert rejection_rates(shape_filter, wafers(40, seed=8), seed=0)["all"] >= 0.95


@pytest.mark.parametrize("kind", sorted(CORRUPTIONS))
def test_corruptions_change_images_and_depend_on_the_seed_alone(kind):
    images = wafers(4)
    first = corrupt(images, kind, np.random.default_rng(3))
    assert first.dtype == np.uint8 and first.shape == images.shape
    assert (first != images).any((1, 2)).all()
    assert (first == corrupt(images, kind, np.random.default_rng(3))).all()
    assert (corrupt(images, kind, np.random.default_rng(4)) != first).any()


def test_a_fitted_filter_is_no_nearer_to_a_disc_than_half_a_pixel(fitted):
    step = 1 / 64
    for limits in (fitted.limits, *(one for one in fitted.alone.values() if "radius" in one)):
        assert limits["radius"][0] <= 1 - step and limits["radius"][1] >= 1 + step and limits["offset"][1] >= step


def test_reason_names_a_failing_score(fitted):
    images = np.stack([wafers(1)[0], np.roll(wafers(1)[0], 12, 0), np.zeros((64, 64), np.uint8)])
    frame = score(fitted, images)
    assert frame["passes"].tolist() == [True, False, False]
    assert frame["reason"][0] == "" and all(frame["reason"][1:].isin(fitted.limits))


def test_margin_and_the_verdict_of_each_filter_alone(fitted):
    images = np.concatenate([wafers(40, 5), corrupt(wafers(40, 6), "off_centre", np.random.default_rng(0))])
    frame = score(fitted, images)
    assert ((frame["margin"] <= 0) == frame["passes"]).all()
    for decide in ("geometric", "cnn"):
        alone = score(fit(wafers(200), ShapeFilterFit(decide=decide, cnn=NET), seed=1), images)
        assert frame[f"passes_{decide}"].tolist() == alone["passes"].tolist()


def test_saved_filter_scores_alike(fitted):
    copy = ShapeFilter.from_json(json.loads(json.dumps(fitted.to_json())), fitted.net.state_dict())
    images = corrupt(wafers(20, 5), "elastic", np.random.default_rng(0))
    pd.testing.assert_frame_equal(score(fitted, images), score(copy, images))


def test_same_seed_same_weights(fitted):
    again = fit(wafers(200), SETTINGS, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(fitted.net.parameters(), again.net.parameters(), strict=True))
    assert again.limits == fitted.limits


def test_no_images_no_scores(fitted):
    assert len(score(fitted, np.zeros((0, 64, 64), np.uint8))) == 0


def test_admit_takes_the_first_kept():
    scores = pd.DataFrame({"passes": [True, False, True, True]})
    filtered, free = admit(scores, True, 2), admit(scores, False, 2)
    assert filtered["kept"].tolist() == [True, False, True, True]
    assert filtered["in_pool"].tolist() == [True, False, True, False]
    assert free["kept"].all() and free["in_pool"].tolist() == [True, True, False, False]


def test_the_table_has_the_studys_columns(fitted):
    copy = ShapeFilter.from_json(json.loads(json.dumps(fitted.to_json(), sort_keys=True)), fitted.net.state_dict())
    for shape_filter in (fitted, copy):
        table = admit(score(shape_filter, wafers(3)), True, 2)
        assert (*SAMPLES, "label", "index", *table.columns) == TABLES["shape_filter"]


def test_errors_say_what_to_do():
    with pytest.raises(InputError, match="at least 20"):
        fit(wafers(5), SETTINGS, seed=0)
    with pytest.raises(InputError, match=r"shape_filter\.decide.*'maybe'"):
        validated(SynthesisSettings, {"shape_filter": {"decide": "maybe"}})


@pytest.mark.parametrize("size", [32, 64])
def test_limits_are_never_nearer_to_a_disc_than_half_a_pixel(size):
    exact = {"iou": (1.0, math.inf), "off_disc": (-math.inf, 0.0), "radius": (1.0, 1.0), "offset": (-math.inf, 0.0)}
    exact["cnn"] = (1.0, 1.0)
    limits = half_a_pixel(exact, size)
    assert limits["radius"] == (1 - 1 / size, 1 + 1 / size) and limits["offset"][1] == 1 / size
    assert limits["iou"][0] == pytest.approx((1 - 1 / size) ** 2) and limits["cnn"] == (1.0, 1.0)
    wide = {"radius": (0.5, 2.0), "iou": (0.2, math.inf)}
    assert half_a_pixel(wide, size) == wide, "limits of real wafers that vary more stay as they are"
    larger = geometric_scores(np.where(disc(size, 1 + 0.9 / size), 128, 0).astype(np.uint8)[None], 128).iloc[0]
    assert all(low <= larger[name] <= high for name, (low, high) in limits.items() if name in ("radius", "offset"))


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason=f"no WM-811K at {REAL}")
def test_real_wafers():
    data = np.load(REAL, allow_pickle=False)
    store = WaferStore(data["flat"], data["offsets"], data["shapes"])
    rows = np.random.default_rng(0).permutation(np.flatnonzero(data["label"] < 8))[:1200]
    images = render(store.take(rows), DRAWING)
    shape_filter = fit(images[:600], ShapeFilterFit(decide="both"), seed=0)
    assert score(shape_filter, images[600:])["passes"].mean() >= 0.98
    rates = rejection_rates(shape_filter, images[600:700], seed=0)
    assert all(rate >= 0.95 for rate in rates.values()), rates
