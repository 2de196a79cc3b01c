"""Die LoRA: the base without classes, its adapters, their samples, on grids of a hundred dies."""

import numpy as np
import pytest
import torch

from waferbench.base.artifacts import write_weights
from waferbench.base.errors import InputError
from waferbench.base.scope import Fold
from waferbench.config.synthesis import stages
from waferbench.config.synthesis.sources import DieBase, DieLora
from waferbench.learning import training
from waferbench.learning.runtime import Checkpoint
from waferbench.synthesis.dieflow.network import HIDDEN, DieNet
from waferbench.synthesis.dieflow.train import Batches, shapes_of, stack, train_die_flow
from waferbench.synthesis.dielora import adapters as training_adapters
from waferbench.synthesis.dielora.adapters import adapted, new_adapter, targets, train_adapters
from waferbench.synthesis.dielora.base import (
    LABELS,
    PRIOR_SAMPLES,
    WAFER,
    draw_prior,
    load_die_base,
    one_label,
    pretrain_die_base,
)
from waferbench.synthesis.dielora.sample import Sampler

CPU = torch.device("cpu")
torch.set_num_threads(1)
SMALL = DieLora(
    channels=(8, 8, 8),
    rank=4,
    alpha=4,
    steps=4,
    batch=4,
    lr=1e-2,
    ema=0.0,
    augment=False,
    sampler_steps=4,
    native=DieBase(wafers=12, steps=3, batch=4),
)
CLASSES = ["left", "right"]


def wafers(label: str, n: int = 12, seed: int = 0) -> list[np.ndarray]:
    """Round maps of two grids; dies of one half of the wafer fail."""
    random, maps = np.random.default_rng([seed, CLASSES.index(label)]), []
    for i in range(n):
        rows, columns = [(10, 12), (15, 9)][i % 2]
        y, x = np.mgrid[:rows, :columns]
        on = np.hypot((y + 0.5) / rows * 2 - 1, (x + 0.5) / columns * 2 - 1) <= 1
        side = (x < columns / 2) == (label == "left")
        maps.append(np.where(on, np.where(side ^ (random.random(on.shape) < 0.05), 2, 1), 0).astype(np.uint8))
    return maps


def small(**changes) -> DieLora:
    return SMALL.model_copy(update=changes)


@pytest.fixture(scope="module")
def base() -> DieNet:
    """A base that has seen both halves fail and was not told which."""
    maps = wafers("left", 24) + wafers("right", 24)
    flow = training_adapters.DieFlowTraining.of(SMALL, steps=120, lr=1e-2, batch=8, drop_label=0.0)
    state, _ = train_die_flow(maps, np.full(len(maps), WAFER), [WAFER], flow, 1, CPU)
    network = DieNet(LABELS, SMALL.channels)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def of_both(n: int = 12) -> dict[str, list[np.ndarray]]:
    return {label: wafers(label, n) for label in CLASSES}


def left_share(maps: list[np.ndarray]) -> float:
    return float(np.mean([(m[:, : m.shape[1] // 2] == 2).sum() / max(1, (m == 2).sum()) for m in maps]))


def test_every_layer_but_stem_and_head_gets_an_adapter(base):
    names = set(targets(base))
    layers = (torch.nn.Conv2d, torch.nn.Linear)
    others = {name for name, module in base.named_modules() if isinstance(module, layers)} - names
    assert others == {"stem", "head.2"}
    assert {type(base.get_submodule(name)) for name in names} == set(layers)


def test_a_new_adapter_changes_nothing_and_any_other_is_of_its_rank(base):
    adapter = new_adapter(base, 2, seed=1)
    weights = targets(base)
    assert all(
        torch.equal(value, weights[name.removesuffix(".weight")]) for name, value in adapted(base, adapter, 2.0).items()
    )
    full = {name: torch.randn(value.shape) for name, value in adapter.items()}
    for name, value in adapted(base, full, 2.0).items():
        change = (value - weights[name.removesuffix(".weight")]).flatten(1)
        assert torch.linalg.matrix_rank(change, rtol=1e-4) <= 2
    half = adapted(base, full, 1.0)
    name = next(iter(half))
    whole, start = adapted(base, full, 2.0)[name], weights[name.removesuffix(".weight")]
    torch.testing.assert_close(2 * (half[name] - start), whole - start)


def test_the_rank_of_a_narrow_layer_is_its_width(base):
    adapter, weights = new_adapter(base, 12, seed=1), targets(base)
    ranks = {name: len(adapter[f"{name}.{training_adapters.DOWN}"]) for name in weights}
    assert ranks["facts.0"] == 3 and ranks["narrow.0"] == 8 and max(ranks.values()) == 12
    full = {name: torch.randn(value.shape) for name, value in adapter.items()}
    change = adapted(base, full, 12.0)["facts.0.weight"] - weights["facts.0"]
    torch.testing.assert_close(change, 4 * full["facts.0.lora_B.weight"] @ full["facts.0.lora_A.weight"])


def test_a_base_is_not_pretrained_again_for_what_it_does_not_read():
    def key(**changes) -> str:
        settings = stages.PretrainDieBase.of(source=small(**changes), seed=1, variant="elsewhere")
        return settings.model_dump_json()

    assert key() == key(alpha=9.0, rank=2, guidance=7.0, max_wafers=50)
    assert key() != key(channels=(8, 8)) and key() != key(native=DieBase(wafers=13))


def test_adapters_learn_their_class_and_guidance_goes_beyond(base):
    before = {name: value.clone() for name, value in base.state_dict().items()}
    adapters, history = train_adapters(base, of_both(), small(steps=40), 1)
    assert all(torch.equal(before[name], value) for name, value in base.state_dict().items()), "the base is frozen"
    assert list(history) == ["label", "step", "loss"] and len(history) == 80
    share = {}
    for weight in (0.5, 1.0, 3.0):
        sampler = Sampler(base, adapters, of_both(), small(guidance=weight), 5, Fold(0))
        share[weight] = [left_share(sampler.draw(label, 0, 30)) for label in CLASSES]
    assert share[1.0][0] > 0.7 and share[1.0][1] < 0.3
    assert share[0.5][0] - share[0.5][1] < share[1.0][0] - share[1.0][1] < share[3.0][0] - share[3.0][1]


def test_samples_do_not_depend_on_the_class_drawn_before(base):
    adapters, _ = train_adapters(base, of_both(), SMALL, 1)
    first, second = (Sampler(base, adapters, of_both(), SMALL, 5, Fold(0)) for _ in range(2))
    first.draw("right", 0, 3)
    for a, b in zip(first.draw("left", 0, 6), second.draw("left", 0, 6), strict=True):
        assert a.dtype == np.uint8 and set(np.unique(a)) <= {0, 1, 2} and np.array_equal(a, b)


def test_the_weight_one_is_the_adapted_network_alone(base):
    adapters, _ = train_adapters(base, of_both(), small(steps=10), 1)
    sampler = Sampler(base, adapters, of_both(), SMALL, 5, Fold(0))
    maps = [np.where(m > 0, HIDDEN, 0) for m in wafers("left", 4)[::2]]
    dies, shapes = stack(maps, 8).long(), shapes_of(maps)
    with torch.inference_mode():
        own, free = sampler.logits(dies, shapes, "left", 1.0), base(dies, shapes, one_label(dies))
        beyond = sampler.logits(dies, shapes, "left", 3.0)
    assert not torch.allclose(own, free)
    torch.testing.assert_close(beyond, free + 3 * (own - free))


def test_a_class_with_too_few_wafers_is_named(base):
    maps = {"left": wafers("left"), "right": wafers("right", 4)}
    with pytest.raises(
        InputError, match=r"class 'right' has 4 training wafers.*6 at least.*dataset\.simulated\.counts"
    ):
        train_adapters(base, maps, SMALL, 1)


def test_a_base_of_other_channels_is_refused(tmp_path):
    path = tmp_path / "network.safetensors"
    write_weights(path, DieNet(LABELS, (8, 8)).state_dict())
    assert not any(value.requires_grad for value in load_die_base(path, (8, 8), CPU).parameters())
    with pytest.raises(InputError, match=r"network\.safetensors: not a base with channels = \[8, 16\].*expected"):
        load_die_base(path, (8, 16), CPU)


def test_an_adapter_of_another_base_is_refused(base):
    other = new_adapter(DieNet(LABELS, (8, 8)), 2, seed=1)
    with pytest.raises(InputError, match="does not fit its base"):
        adapted(base, other, 1.0)


def test_a_base_repeats_its_bytes_and_draws_wafers():
    (first, history), (again, _) = (pretrain_die_base(SMALL, "elsewhere", 3, CPU) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first) and len(history) == 3
    other, _ = pretrain_die_base(SMALL, "standard", 3, CPU)
    assert any(not torch.equal(first[name], other[name]) for name in first)
    prior = draw_prior(first, SMALL, "elsewhere", 3, CPU)
    assert len(prior) == PRIOR_SAMPLES and all(set(np.unique(wafer)) <= {0, 1, 2} for wafer in prior)


def test_a_killed_training_goes_on_to_the_same_bytes(base, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    monkeypatch.setattr(Checkpoint, "due", property(lambda self: True))
    settings = small(steps=4, ema=0.9)
    expected, _ = train_adapters(base, of_both(), settings, 1)
    draw, drawn = Batches.draw, []

    def dying(self, step):
        drawn.append(step)
        if len(drawn) == 8:
            raise KeyboardInterrupt
        return draw(self, step)

    monkeypatch.setattr(Batches, "draw", dying)
    with pytest.raises(KeyboardInterrupt):
        train_adapters(base, of_both(), settings, 1, tmp_path)
    resumed, _ = train_adapters(base, of_both(), settings, 1, tmp_path)
    assert drawn == [0, 1, 2, 3, 0, 1, 2, 3, 2, 3], "the first class is not trained again"
    for label in CLASSES:
        assert all(torch.equal(expected[label][name], value) for name, value in resumed[label].items())
