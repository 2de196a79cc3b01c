"""Offsets of the classes' logits: what they gain, and that the network's head carries them."""

import numpy as np
import pytest
import torch
from torch import nn

from waferbench.base.errors import InputError
from waferbench.classification.offsets import CANDIDATES, cross_fitted, move_head, moved, tune_offsets
from waferbench.classification.scores import macro_f1
from waferbench.learning.backbones import create_backbone

TINY = "test_resnet.r160_in1k"


def shy(n: int, seed: int, shift: float = 2.5) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that call the third class, a rare one, too seldom."""
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=[0.5, 0.4, 0.1])
    logits = rng.normal(size=(n, 3)) + 2.0 * np.eye(3)[y] - [0, 0, shift]
    p = np.exp(logits)
    return (p / p.sum(1, keepdims=True)).astype(np.float32), y


def test_a_class_called_too_seldom_is_called_more_and_new_wafers_gain_too():
    (p, y), (new, truth) = shy(2000, 0), shy(2000, 1)
    offsets = tune_offsets(p, y)
    assert offsets[2] - offsets[:2].mean() > 0.5
    before, after = (macro_f1(y, part.argmax(1), 3) for part in (p, moved(p, offsets)))
    assert after > before + 0.02
    assert macro_f1(truth, moved(new, offsets).argmax(1), 3) > macro_f1(truth, new.argmax(1), 3) + 0.01


def test_no_single_offset_of_a_finer_search_does_better():
    p, y = shy(300, 3)
    offsets = tune_offsets(p, y)
    best = macro_f1(y, moved(p, offsets).argmax(1), 3)
    for k in range(3):
        for candidate in CANDIDATES:
            other = np.where(np.arange(3) == k, candidate, offsets)
            assert macro_f1(y, moved(p, other).argmax(1), 3) <= best + 1e-9


def test_what_is_right_stays_as_it_is():
    y = np.arange(30) % 3
    assert tune_offsets((0.9 * np.eye(3) + 0.05)[y], y).tolist() == [0, 0, 0]


def test_moved_probabilities_are_those_of_moved_logits():
    p, _ = shy(20, 4)
    offsets = np.array([0.3, -0.2, 1.0])
    expected = torch.softmax(torch.from_numpy(np.log(p.astype(float)) + offsets), 1).numpy()
    np.testing.assert_allclose(moved(p, offsets), expected, rtol=1e-4)
    assert moved(np.array([[1.0, 0.0]]), np.array([0.0, 1.0]))[0] == pytest.approx([1, 0], abs=1e-9)


def test_offsets_of_other_wafers_do_not_flatter():
    """Without a class to tell, offsets still gain on the wafers they were tuned on; cross-fitted ones do not."""
    tuned, crossed = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        p = rng.dirichlet(np.ones(4), 160).astype(np.float32)
        y = rng.choice(4, 160, p=[0.4, 0.3, 0.2, 0.1])
        before = macro_f1(y, p.argmax(1), 4)
        tuned.append(macro_f1(y, moved(p, tune_offsets(p, y)).argmax(1), 4) - before)
        again = cross_fitted(p, y, [f"wafer {i}" for i in range(160)])
        crossed.append(macro_f1(y, again.argmax(1), 4) - before)
    assert np.mean(tuned) > 0.03 and np.mean(crossed) < 0.5 * np.mean(tuned)


def test_each_half_of_every_class_gets_the_offsets_of_the_other():
    p, y = shy(400, 5)
    ids = np.array([f"w{i}" for i in range(len(y))])
    found = cross_fitted(p, y, ids)
    apart = np.log(found) - np.log(p)
    apart = (apart - apart[:, :1]).round(3)
    vectors, half = np.unique(apart, axis=0, return_inverse=True)
    half = half.ravel()
    assert len(vectors) == 2
    for number in (0, 1):
        offsets = tune_offsets(p[half != number], y[half != number])
        np.testing.assert_allclose(found[half == number], moved(p[half == number], offsets), rtol=1e-5)
    for k in range(3):
        assert abs((half[y == k] == 0).sum() - (half[y == k] == 1).sum()) <= 1
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_array_equal(cross_fitted(p[order], y[order], ids[order]), found[order])


def test_a_class_without_wafers_keeps_its_logit():
    p, y = shy(300, 6)
    offsets = tune_offsets(p[y != 0], y[y != 0])
    assert offsets[0] == 0 and len(cross_fitted(p[:1], y[:1], ["alone"])) == 1


def test_the_head_carries_the_offsets():
    torch.set_num_threads(1)
    model, _, _ = create_backbone(TINY, 3, False, image_size=32)
    images, offsets = torch.randn(4, 3, 32, 32), np.array([0.5, 0.0, -1.0])
    with torch.inference_mode():
        before = model.eval()(images)
    move_head(model, offsets, TINY)
    with torch.inference_mode():
        np.testing.assert_allclose(model(images) - before, np.tile(offsets, (4, 1)), atol=1e-5)


def test_a_head_without_a_bias_is_named():
    model = nn.Module()
    model.get_classifier = lambda: nn.Linear(3, 2, bias=False)
    with pytest.raises(InputError, match=r"classifier\.logit_offsets: the head of odd has no bias"):
        move_head(model, np.zeros(2), "odd")
