"""Die flow: the network, its training, its samples, on grids of a hundred dies."""

import numpy as np
import pytest
import torch

from waferbench.base.errors import InputError
from waferbench.base.scope import Fold
from waferbench.config.resolve import resolve
from waferbench.config.synthesis.sources import DieFlow
from waferbench.learning import training
from waferbench.learning.runtime import Checkpoint
from waferbench.synthesis.dieflow.network import DieNet, losses, padding
from waferbench.synthesis.dieflow.reveal import guided, weight_at
from waferbench.synthesis.dieflow.sample import Sampler
from waferbench.synthesis.dieflow.train import Batches, hidden_shares, shapes_of, stack, train_die_flow
from waferbench.tracks import all_tracks, checks_of, settings_model
from waferbench.wafers.symmetries import under_symmetry

CPU = torch.device("cpu")
torch.set_num_threads(1)
SMALL = DieFlow(
    channels=(8, 8, 8),
    steps=6,
    batch=4,
    lr=1e-2,
    weight_decay=0.0,
    ema=0.0,
    balance=0.5,
    sampler_steps=4,
    sample_batch=4,
)
CLASSES = ["left", "right"]


def wafers(n: int = 24, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Round maps of two grids; dies of one half of the wafer fail, by class."""
    random, maps, labels = np.random.default_rng(seed), [], []
    for i in range(n):
        rows, columns = [(10, 12), (15, 9)][i % 2]
        y, x = np.mgrid[:rows, :columns]
        on = np.hypot((y + 0.5) / rows * 2 - 1, (x + 0.5) / columns * 2 - 1) <= 1
        label = CLASSES[i // 2 % 2]
        side = (x < columns / 2) == (label == "left")
        maps.append(np.where(on, np.where(side ^ (random.random(on.shape) < 0.05), 2, 1), 0).astype(np.uint8))
        labels.append(label)
    return maps, np.array(labels)


def small(**changes) -> DieFlow:
    return SMALL.model_copy(update=changes)


def fitted(checkpoints=None, seed=1, **changes):
    maps, labels = wafers()
    return train_die_flow(maps, labels, CLASSES, small(**changes), seed, CPU, checkpoints)


def grids() -> dict[str, list[np.ndarray]]:
    maps, labels = wafers()
    return {label: [m for m, of in zip(maps, labels, strict=True) if of == label] for label in CLASSES}


def test_logits_are_one_a_die_whatever_the_grid():
    network = DieNet(3, [8, 8, 16])
    assert padding([8, 8, 16]) == 8
    for shape in ((8, 16), (24, 8)):
        dies = torch.randint(0, 4, (2, *shape))
        logits = network(dies, torch.tensor([shape] * 2, dtype=torch.float32), torch.tensor([0, 2]))
        assert logits.shape == (2, *shape)


def test_loss_is_the_cross_entropy_of_hidden_dies_alone():
    truth = torch.tensor([[[0, 1, 2, 2]]])
    hidden = torch.tensor([[[False, True, True, False]]])
    logits = torch.tensor([[[9.0, 0.0, 2.0, -9.0]]])
    expected = (np.log(2) + np.log(1 + np.exp(-2))) / 2
    assert losses(logits, truth, hidden).item() == pytest.approx(expected, rel=1e-6)


def test_a_wafer_does_not_see_the_others_of_its_batch():
    torch.manual_seed(0)
    network = DieNet(2, [8, 8, 8]).eval()
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    maps, _ = wafers(8)
    dies, shapes = stack(maps[::2], 8).long(), shapes_of(maps[::2])
    labels = torch.tensor([0, 1, 0, 1])
    with torch.no_grad():
        together, alone = network(dies, shapes, labels), network(dies[1:2], shapes[1:2], labels[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_batches_draw_classes_by_their_balance():
    maps, _ = wafers(24)
    positions = np.array([0] * 20 + [1] * 4)
    shares = {}
    for balance in (0.0, 1.0):
        batches = Batches(maps, positions, small(balance=balance, batch=32), 3)
        shares[balance] = torch.cat([batches.draw(step)[2] for step in range(60)]).float().mean()
    assert shares[0.0] == pytest.approx(4 / 24, abs=0.04) and shares[1.0] == pytest.approx(0.5, abs=0.05)


def test_mostly_hides_two_thirds_of_the_dies_and_spreads_them():
    random = torch.Generator().manual_seed(0)
    uniform, mostly = (hidden_shares(300, kind, random).sort().values for kind in ("uniform", "mostly"))
    middle = (torch.arange(300) + 0.5) / 300
    torch.testing.assert_close(uniform, middle, atol=1 / 300, rtol=0)
    torch.testing.assert_close(mostly, 1 - middle.flip(0) ** 2, atol=2 / 300, rtol=0)
    assert mostly.mean() == pytest.approx(2 / 3, abs=0.01)


@pytest.mark.parametrize("drop_label, learned", [(0.0, False), (0.5, True)])
def test_the_place_of_no_label_is_learned_where_labels_are_dropped(drop_label, learned):
    start, end = (fitted(drop_label=drop_label, steps=steps, lr=1e-9 if steps == 1 else 1e-2)[0] for steps in (1, 8))
    none = [state["label.weight"][len(CLASSES)] for state in (start, end)]
    assert torch.allclose(*none, atol=1e-6) != learned
    assert not torch.allclose(start["label.weight"][0], end["label.weight"][0], atol=1e-6)


def test_guidance_moves_logits_from_those_without_a_label_towards_and_beyond_those_with_it():
    labelled, unlabelled = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0])
    assert torch.equal(guided(labelled, unlabelled, 0), unlabelled)
    assert torch.equal(guided(labelled, unlabelled, 1), labelled)
    assert torch.equal(guided(labelled, unlabelled, 3), torch.tensor([2.0, -6.0]))


@pytest.mark.parametrize(
    "ramp, expected", [("none", [3, 3, 3, 3, 3]), ("rising", [1, 1.5, 2, 2.5, 3]), ("falling", [3, 2.5, 2, 1.5, 1])]
)
def test_guidance_is_ramped_over_the_looks(ramp, expected):
    settings = small(guidance=3.0, guidance_ramp=ramp, sampler_steps=5)
    assert [weight_at(look, settings) for look in range(5)] == pytest.approx(expected)
    assert weight_at(0, small(guidance=3.0, guidance_ramp=ramp, sampler_steps=1)) == 3.0, "the one look is guided"


def test_samples_carry_their_label_the_more_the_stronger_they_are_guided():
    state, _ = fitted(steps=60, augment=False, ema=0.5, drop_label=0.3)
    shares = []
    for guidance in (0.0, 1.0, 3.0):
        maps = Sampler(state, grids(), small(augment=False, guidance=guidance), 5, Fold(0), CPU).draw("left", 0, 24)
        shares.append(np.mean([(m[:, : m.shape[1] // 2] == 2).sum() / max(1, (m == 2).sum()) for m in maps]))
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize("guidance, ramp, rows", [(1.0, "none", 4), (2.0, "none", 8), (2.0, "falling", 7)])
def test_only_guided_looks_cost_twice(guidance, ramp, rows):
    sampler = Sampler(fitted()[0], grids(), small(guidance=guidance, guidance_ramp=ramp), 5, Fold(0), CPU)
    seen = []
    sampler.network.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    sampler.draw("left", 0, 1)
    assert sum(seen) == rows


def test_it_learns_which_half_fails():
    state, history = fitted(steps=150, augment=False, ema=0.9)
    assert list(history) == ["step", "loss"] and history["loss"].tail(20).mean() < 0.7 * history["loss"].head(5).mean()
    sampler = Sampler(state, grids(), small(augment=False), 5, Fold(0), CPU)
    for label in CLASSES:
        maps = sampler.draw(label, 0, 20)
        left = np.mean([(m[:, : m.shape[1] // 2] == 2).sum() / (m == 2).sum() for m in maps])
        assert (left > 0.75) == (label == "left") and (left < 0.25) == (label == "right")


def test_samples_are_ternary_maps_on_the_grids_of_their_class():
    state, _ = fitted()
    sampler = Sampler(state, grids(), SMALL, 5, Fold(0), CPU)
    known = {under_symmetry(m > 0, k).tobytes() for m in grids()["left"] for k in range(8)}
    for wafer in sampler.draw("left", 0, 12):
        assert wafer.dtype == np.uint8 and set(np.unique(wafer)) <= {0, 1, 2}
        assert (wafer > 0).tobytes() in known


def test_samples_do_not_depend_on_the_batch_or_on_how_many_are_drawn():
    state, _ = fitted()
    one = Sampler(state, grids(), small(sample_batch=1), 5, Fold(0), CPU).draw("left", 0, 9)
    many = Sampler(state, grids(), small(sample_batch=64), 5, Fold(0), CPU)
    part = many.draw("left", 4, 9)
    differing = sum(int((a != b).sum()) for a, b in zip(one[4:], part, strict=True))
    assert differing <= 0.01 * sum(m.size for m in part)
    assert any(not np.array_equal(a, b) for a, b in zip(part, many.draw("right", 4, 9), strict=True))
    other = Sampler(state, grids(), SMALL, 5, Fold(1), CPU).draw("left", 4, 9)
    assert any(not np.array_equal(a, b) for a, b in zip(part, other, strict=True))


def test_equal_seeds_give_equal_weights():
    first, again, other = fitted()[0], fitted()[0], fitted(seed=2)[0]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    monkeypatch.setattr(Checkpoint, "due", property(lambda self: True))
    expected, _ = fitted(ema=0.9)
    draw, drawn = Batches.draw, []

    def dying(self, step):
        drawn.append(step)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return draw(self, step)

    monkeypatch.setattr(Batches, "draw", dying)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, ema=0.9)
    resumed, _ = fitted(tmp_path, ema=0.9)
    assert drawn == [0, 1, 2, 3, 2, 3, 4, 5]
    assert all(torch.equal(expected[name], resumed[name]) for name in expected)


def test_a_class_without_wafers_is_named():
    maps, labels = wafers()
    with pytest.raises(InputError, match="no training wafer of class 'donut'"):
        train_die_flow(maps, labels, ["donut"], SMALL, 1, CPU)


def test_guidance_without_dropped_labels_is_refused_with_advice_that_works():
    def study(**changes):
        config = {"define": {"sources": {"die_flow": changes}}}
        return resolve(config, settings_model(all_tracks()), checks_of(all_tracks()))

    with pytest.raises(InputError, match=r"die_flow\.guidance: 2\.0, but with drop_label = 0 .* guidance to 1"):
        study(drop_label=0)
    assert study(drop_label=0, guidance=1).define.sources["die_flow"].guidance == 1
    assert study(drop_label=0.15).define.sources["die_flow"].drop_label == 0.15
