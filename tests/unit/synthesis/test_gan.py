"""TS-HingeGAN: losses, networks, training that survives a kill, sampling, divergence."""

import functools
import hashlib
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import torch

from waferbench.base.errors import InputError
from waferbench.base.scope import Fold
from waferbench.config.study import Drawing
from waferbench.config.synthesis.sources import Gan
from waferbench.learning.runtime import Checkpoint
from waferbench.synthesis.gan import health, train
from waferbench.synthesis.gan.losses import hinge_discriminator, hinge_generator
from waferbench.synthesis.gan.networks import Discriminator, Generator, build_generator, from_grey, to_grey
from waferbench.synthesis.gan.sample import CHUNK, Sampler
from waferbench.synthesis.gan.state import Training, dihedral
from waferbench.wafers.leakage import fitted_on
from waferbench.wafers.render import render
from waferbench.wafers.simulate.dataset import simulate

CPU = torch.device("cpu")
SMALL = Gan(
    latent=6,
    generator_channels=(8, 6, 4),
    discriminator_channels=(4, 6),
    batch=4,
    lr_generator=1e-3,
    lr_discriminator=1e-3,
    stage1_iterations=7,
    stage2_iterations=4,
    precision="float32",
    ema=0.9,
)
CLASSES = ["ring", "spot"]


def wafers(number: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Half the images with a bright ring, half with a bright spot; uint8 (number, 16, 16)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16] - 7.5
    radius = np.hypot(y, x)
    images = np.where(radius < 8, 128, 0) + np.zeros((number, 1, 1), int)
    images[::2, (radius < 8) & (radius > 6)] = 255
    images[1::2, radius < 3] = 255
    images = np.where((rng.random(images.shape) < 0.1) & (images > 0), 255, images)
    return images.astype(np.uint8), np.array(CLASSES * (number // 2))


def small(**changes) -> Gan:
    return SMALL.model_copy(update=changes)


def fit(checkpoints=None, seed=1, **changes) -> train.GanResult:
    images, labels = wafers()
    return train.train_gan(images, labels, CLASSES, small(**changes), seed, CPU, checkpoints)


def same(a: Mapping, b: Mapping) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def assert_equal(a: train.GanResult, b: train.GanResult) -> None:
    assert same(a.stage1, b.stage1)
    assert all(same(a.generators[label], b.generators[label]) for label in CLASSES)
    pd.testing.assert_frame_equal(a.history, b.history, check_exact=True)
    assert a.facts == b.facts


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 1.5])
    assert hinge_discriminator(real, fake).item() == pytest.approx((0 + 0.5 + 2) / 3 + (0 + 1 + 2.5) / 3)
    assert hinge_generator(fake).item() == pytest.approx(0.5 / 3)


def test_published_networks_have_the_published_shapes():
    generator, discriminator = Generator(), Discriminator()
    images = generator(torch.randn(2, 128))
    assert images.shape == (2, 3, 64, 64) and images.abs().max() <= 1
    assert discriminator(images).shape == (2,)
    assert generator.project.out_features == 4 * 4 * 512
    up = [(512, 256), (256, 128), (128, 64), (64, 32)]
    expected = 129 * 8192 + sum(9 * a * b + 2 * b for a, b in up) + 9 * 32 * 3 + 3
    assert sum(p.numel() for p in generator.parameters()) == expected
    down = [(3, 64), (64, 128), (128, 256), (256, 512)]
    expected = sum(16 * a * b + b for a, b in down) + 16 * 512 + 1
    assert sum(p.numel() for p in discriminator.parameters()) == expected
    assert sum(isinstance(module, torch.nn.Conv2d) for module in discriminator.modules()) == 5


def test_every_discriminator_layer_has_spectral_norm_one_after_training_steps():
    torch.manual_seed(0)
    discriminator = Discriminator([8, 8, 8, 8])
    adam = torch.optim.Adam(discriminator.parameters(), 1e-3)
    for _ in range(30):
        adam.zero_grad()
        hinge_discriminator(
            discriminator(torch.ones(4, 3, 64, 64)), discriminator(torch.zeros(4, 3, 64, 64))
        ).backward()
        adam.step()
    convolutions = [module for module in discriminator.modules() if isinstance(module, torch.nn.Conv2d)]
    raw = [torch.linalg.matrix_norm(c.parametrizations.weight.original.flatten(1), 2).item() for c in convolutions]
    norms = [torch.linalg.matrix_norm(c.weight.flatten(1), 2).item() for c in convolutions]
    assert norms == pytest.approx([1.0] * 5, abs=0.05)
    assert any(abs(value - 1) > 0.2 for value in raw)


def test_grey_survives_the_three_channels():
    grey = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    tiled = from_grey(grey)
    assert tiled.shape == (1, 3, 16, 16) and tiled.min() == -1 and tiled.max() == 1
    assert torch.equal(to_grey(tiled), grey)


def test_dihedral_makes_the_eight_symmetries():
    image = torch.arange(9).reshape(1, 3, 3).expand(8, 3, 3)
    coins = torch.tensor([[i >> k & 1 for i in range(8)] for k in range(3)], dtype=torch.bool)[..., None, None]
    made = {tuple(turned.flatten().tolist()) for turned in dihedral(image, coins)}
    square = np.arange(9).reshape(3, 3)
    expected = {tuple(np.rot90(s, k).ravel().tolist()) for s in (square, square.T) for k in range(4)}
    assert made == expected


def test_result_holds_what_it_says():
    result = fit()
    assert list(result.generators) == CLASSES
    assert {name.split(".")[0] for name in result.stage1} == {"generator", "discriminator"}
    counts = result.history.groupby(["stage", "label"]).size().to_dict()
    assert counts == {("stage1", ""): 7, ("stage2", "ring"): 4, ("stage2", "spot"): 4}
    assert list(result.history) == ["stage", "label", "iteration", "loss_d", "loss_g", "d_real", "d_fake"]
    assert result.facts["stage1"] == {
        "converged": True, "reason": "", "iterations": 7, "images": 10, "with_replacement": False,
    }  # fmt: skip
    assert not same(result.generators["ring"], result.generators["spot"])


def test_update_ratio_is_the_settings():
    images, _ = wafers()
    training = Training(images, small(steps_generator=3, steps_discriminator=2), 0, CPU)
    training.round()
    steps = [next(iter(adam.state.values()))["step"].item() for adam in (training.adam_g, training.adam_d)]
    assert steps == [3, 2]


def test_half_precision_trains_alike_and_normalises_in_full():
    images, _ = wafers()
    full, half = (Training(images, small(precision=p), 0, CPU) for p in ("float32", "bf16"))
    half.begin_from(full.result())
    full.begin_from(full.result())
    for training in (full, half):
        training.round()
    assert not torch.equal(full.pending[0], half.pending[0])
    torch.testing.assert_close(half.pending[0], full.pending[0], rtol=0.05, atol=0.02)
    for layer in half.discriminator.layers[::2]:
        power = layer.parametrizations.weight[0]
        assert {power._u.dtype, layer.parametrizations.weight.original.dtype} == {torch.float32}
        assert power._u.norm().item() == pytest.approx(1, abs=1e-5)


def test_compiled_networks_train_alike_and_keep_their_names(monkeypatch):
    traced = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")  # all but the code generation
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    torch._dynamo.utils.counters.clear()
    images, _ = wafers()
    plain, compiled = (Training(images, small(compile=flag), 0, CPU) for flag in (False, True))
    compiled.begin_from(plain.result())
    plain.begin_from(plain.result())
    for training in (plain, compiled):
        training.round()
    torch.testing.assert_close(compiled.pending[0], plain.pending[0], rtol=1e-3, atol=1e-4)
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["ok"] == frames["total"] > 0
    assert compiled.state_dict()["generator"].keys() == plain.state_dict()["generator"].keys()


def test_classes_trained_in_turns_get_the_weights_of_one_after_another(monkeypatch):
    expected = fit()
    monkeypatch.setattr(train, "_fills", lambda device: False)
    assert_equal(fit(), expected)


def test_classes_that_do_not_fit_together_are_trained_one_after_another(monkeypatch, capsys):
    expected = fit()
    monkeypatch.setattr(train, "_fills", lambda device: False)
    monkeypatch.setattr(train, "_finish_together", lambda runs: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    assert_equal(fit(), expected)
    assert "one after another" in capsys.readouterr().err


def test_stage_two_starts_from_stage_one():
    result = fit(stage2_iterations=0)
    stage1 = {name.removeprefix("generator."): t for name, t in result.stage1.items() if name.startswith("generator.")}
    assert same(result.generators["ring"], stage1)


@pytest.mark.parametrize("ema", [0.9, 0])
def test_stage_two_starts_from_networks_that_met_each_other(ema):
    images, _ = wafers()
    first = Training(images, small(ema=ema), 0, CPU)
    for _ in range(6):
        first.round()
    first.check()
    second = Training(images, small(ema=ema), 1, CPU)
    second.begin_from(first.result())
    assert same(second.generator.state_dict(), first.generator.state_dict()), "not its average"
    assert same(second.discriminator.state_dict(), first.discriminator.state_dict())
    assert same(second.average.state_dict(), first.average.state_dict())
    assert same(first.result().generator, first.result().raw) is False, "samples are drawn with standing statistics"


def test_fewer_wafers_than_a_batch_are_drawn_with_replacement():
    assert fit(batch=8).facts["labels"]["ring"]["with_replacement"]


def test_equal_seeds_give_equal_weights_and_others_do_not():
    first = fit()
    assert_equal(first, fit())
    assert not same(first.stage1, fit(seed=2).stage1)


@pytest.mark.parametrize("kill_at", [2, 5, 9, 17])
@pytest.mark.parametrize("ema", [0.9, 0])
def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch, kill_at, ema):
    rounds = itertools.count(1)
    monkeypatch.setattr(Checkpoint, "due", property(lambda self: next(rounds) % 3 == 0))
    monkeypatch.setattr(train, "CHECK_EVERY", 2)  # so that checkpoints fall between checks, too
    expected = fit(ema=ema, stage1_iterations=11)
    original, done = Training.round, []

    def dying(self):
        done.append(1)
        if len(done) == kill_at:
            raise KeyboardInterrupt
        original(self)

    monkeypatch.setattr(Training, "round", dying)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, ema=ema, stage1_iterations=11)
    again = []
    monkeypatch.setattr(Training, "round", lambda self: (again.append(1), original(self)))
    assert_equal(fit(tmp_path, ema=ema, stage1_iterations=11), expected)
    assert len(again) <= 19 - (kill_at - 1) // 3 * 3 + 3


def test_exploding_training_is_reported_and_keeps_healthy_weights(monkeypatch):
    monkeypatch.setattr(train, "CHECK_EVERY", 2)
    original = Training.round

    def exploding(self):
        original(self)
        if self.iteration == 5:
            with torch.no_grad():
                self.generator.to_image.weight.fill_(float("nan"))

    monkeypatch.setattr(Training, "round", exploding)
    result = fit(stage2_iterations=4)
    fact = result.facts["stage1"]
    assert not fact["converged"] and "non-finite" in fact["reason"] and fact["iterations"] == 4
    ring = result.facts["labels"]["ring"]
    assert not ring["converged"] and ring["reason"].startswith("stage 1: non-finite") and ring["iterations"] == 4
    assert all(torch.isfinite(t).all() for t in result.generators["ring"].values() if t.is_floating_point())


def collapsing(monkeypatch, begin: int, reason: str = "collapse to few modes") -> None:
    """Every look at stage 2's generators finds a collapse from that round on."""
    check = Training.check

    def bad(self, last=False):
        if len(self.images) == 5 and self.iteration >= begin:  # of one class
            monkeypatch.setattr(self.health, "check", lambda *args: reason)
            self.health.finite = not reason.startswith("non-finite")
        check(self, last)

    monkeypatch.setattr(Training, "check", bad)


def test_a_class_that_collapses_at_once_keeps_its_own_weights(monkeypatch, capsys):
    expected = fit(stage2_iterations=1)
    collapsing(monkeypatch, 1)
    result, told = fit(stage2_iterations=4), capsys.readouterr().err
    for label in CLASSES:
        assert same(result.generators[label], expected.generators[label]), "those of the round that ended it"
        fact = result.facts["labels"][label]
        assert not fact["converged"] and fact["iterations"] == 1
        assert "few modes; these weights are kept all the same" in fact["reason"]
        assert f"gan stage2 {label}: collapse to few modes; these weights are kept" in told
    assert not same(result.generators["ring"], result.generators["spot"])


def test_a_class_that_collapses_late_keeps_its_last_healthy_weights(monkeypatch):
    expected = fit(stage2_iterations=2)
    collapsing(monkeypatch, 3)
    result = fit(stage2_iterations=4)
    assert same(result.generators["ring"], expected.generators["ring"])
    fact = result.facts["labels"]["ring"]
    assert fact["reason"] == "collapse to few modes" and fact["iterations"] == 2


def test_a_class_without_any_finite_weights_is_refused(monkeypatch):
    collapsing(monkeypatch, 1, "non-finite loss")
    with pytest.raises(InputError, match=r"gan stage2 ring: non-finite loss by round 1, .*lr_generator"):
        fit(stage2_iterations=4)


def test_out_of_memory_says_what_to_lower(monkeypatch):
    monkeypatch.setattr(Training, "_real", lambda self: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    with pytest.raises(InputError, match="out of GPU memory; lower the batch of 4"):
        fit()


def test_collapse_and_saturation_are_seen():
    weights, varied, flat = [torch.ones(2)], torch.rand(8, 3, 4, 4), torch.zeros(8, 3, 4, 4)
    fine, saturated = torch.ones(5, 4), torch.zeros(5, 4)
    real = {"real_spread": 0.3, "radius": 0.0, "real_distinct": 8.0}
    state = health.Health(**real)
    assert [state.check(fine, weights, flat) for _ in range(health.PATIENCE - 1)] == [""] * (health.PATIENCE - 1)
    assert not state.good
    assert "collapse" in state.check(fine, weights, flat)
    assert health.Health(**real).check(fine, weights, varied) == ""
    assert "collapse" in health.Health(**real).check(fine, weights, flat, last=True)
    state = health.Health(**real)
    assert "saturated" in [state.check(saturated, weights, varied) for _ in range(health.PATIENCE)][-1]
    assert "non-finite" in health.Health(**real).check(torch.full((1, 4), float("nan")), weights, varied)


def simulated(label: str, seed: int, number: int = health.PROBE) -> torch.Tensor:
    maps, _, _ = simulate({label: number}, seed)
    return from_grey(torch.from_numpy(render(maps, Drawing(size=32))))


@pytest.mark.parametrize("label", ["Near-full", "Scratch", "Edge-Ring", "Random"])
def test_collapse_to_several_modes_is_seen_and_other_wafers_are_none(label):
    losses, weights, others = torch.ones(1, 4), [torch.ones(1)], simulated(label, 1)
    real = health.Health.beside(simulated(label, 0))
    assert real.check(losses, weights, others, last=True) == "", "other wafers of the class are as varied"
    rng = torch.Generator().manual_seed(0)
    for modes in (1, 3, 10):
        images = others[:modes][torch.arange(health.PROBE) % modes]
        images = images + 0.05 * torch.randn(images[:, :1].shape, generator=rng)  # no two the same
        assert modes / 2 < health.distinct(images, real.radius) < modes + 0.1
        assert "few modes" in health.Health.beside(simulated(label, 0)).check(losses, weights, images, last=True)


def test_a_few_wafers_again_and_again_are_held_to_their_own_number_of_modes():
    few = simulated("Loc", 0, 5)[torch.arange(health.PROBE) % 5]
    state = health.Health.beside(few)
    assert state.radius > 0 and state.real_distinct == pytest.approx(5, abs=0.1)
    assert state.check(torch.ones(1, 4), [torch.ones(1)], few, last=True) == ""
    one = few[:1].expand(health.PROBE, -1, -1, -1) + 0.1 * torch.rand(few.shape)
    assert "few modes" in state.check(torch.ones(1, 4), [torch.ones(1)], one, last=True)


def test_distinct_images_are_counted_by_hand():
    images = torch.zeros(6, 1, 8, 8)
    images[3:5], images[5] = 1.0, 5.0  # groups of 3, 2 and 1
    assert health.distinct(images, 1.0) == pytest.approx(36 / (9 + 4 + 1))
    assert health.distinct(images, 8.0) == pytest.approx(36 / (25 + 1)), "images of 8 x 8 ones are 8 apart"
    assert health.usual_radius(images) == pytest.approx(0.5 * 8) and health.usual_radius(images[:3]) == 0
    assert health.distinct(images[:0], 1.0) == 0


def test_samples_do_not_depend_on_how_many_are_drawn():
    state = build_generator(SMALL, CPU).state_dict()
    sampler, other = Sampler(SMALL, 1, Fold(0), CPU), Sampler(SMALL, 1, Fold(1), CPU)
    sampler.load(state)
    other.load(state)
    everything = sampler.draw("ring", 0, 150)
    assert everything.shape == (150, 16, 16) and everything.dtype == np.uint8
    assert np.array_equal(sampler.draw("ring", 0, 3), everything[:3])
    assert np.array_equal(sampler.draw("ring", 70, 70 + CHUNK), everything[70 : 70 + CHUNK])
    assert not np.array_equal(other.draw("ring", 0, 3), everything[:3])
    assert not np.array_equal(sampler.draw("spot", 0, 3), everything[:3])


def test_bad_input_is_named():
    images, labels = wafers()
    with pytest.raises(InputError, match="no training wafer of class 'donut'"):
        train.train_gan(images, labels, ["donut"], SMALL, 0, CPU)
    with pytest.raises(InputError, match=r"render\.size"):
        train.train_gan(images[:, :8, :8], labels, CLASSES, SMALL, 0, CPU)
    with pytest.raises(InputError, match="one entry more"):
        train.train_gan(images, labels, CLASSES, small(discriminator_channels=(4,)), 0, CPU)


def test_fitted_on_depends_on_the_set_of_wafers_only():
    a, b = pd.DataFrame({"wafer_id": ["w1", "w2"]}), pd.DataFrame({"wafer_id": ["w2", "w1"]})
    assert fitted_on(a) == fitted_on(b)
    assert fitted_on(a) == {"fitted_on": hashlib.sha256(b"w1\nw2").hexdigest(), "n_fitted": 2}
    assert fitted_on(a) != fitted_on(pd.DataFrame({"wafer_id": ["w1", "w3"]}))
