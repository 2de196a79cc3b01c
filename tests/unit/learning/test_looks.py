"""The loop over steps: batches, looks, what is kept of them, kills, averages, divergence."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from waferbench.base.errors import InputError
from waferbench.base.seeds import derive_seed
from waferbench.learning import looks
from waferbench.learning.average import warmed_up
from waferbench.learning.looks import Passes, Plan, fit_steps, steps_of_epochs
from waferbench.learning.runtime import Checkpoint
from waferbench.learning.schedule import warmup_cosine

torch.set_num_threads(1)
N = 11
IMAGES = torch.from_numpy(np.random.default_rng(0).normal(size=(N, 2, 8, 8)).astype(np.float32))
INSIDE = (IMAGES.mean(1) > 0).long()
PLAN = Plan(N, 4, 9, 3, lambda step, steps: warmup_cosine(step, steps, 2))


def network() -> nn.Module:
    """A segmentation of two planes into two classes, with batch statistics and dropout."""
    torch.manual_seed(0)
    body = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*body, nn.Conv2d(4, 2, 1))


class Trained:
    """A training of the network: what `fit_steps` was called with and what it made."""

    def __init__(self, plan: Plan = PLAN, checkpoint=None, score=None, loss=None, lr=1e-2, seed=1):
        self.model, self.rows, self.judged = network(), [], []
        self.score, self.loss = score or self.overlap, loss or (lambda value: value)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr)
        self.optimizer = optimizer
        self.history = fit_steps(
            "it", self.model, self.loss_of, self.judge, plan, optimizer, seed, checkpoint or Checkpoint(None)
        )

    def loss_of(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        self.rows.append(rows)
        turned = int(torch.randint(4, (), generator=generator))
        logits = self.model(IMAGES[rows].rot90(turned, (2, 3)))
        return self.loss(F.cross_entropy(logits, INSIDE[rows].rot90(turned, (1, 2))))

    def judge(self, model: nn.Module) -> float:
        self.judged.append((model is self.model, copy.deepcopy(model.state_dict())))
        return self.score(model, len(self.judged) - 1)

    @staticmethod
    def overlap(model: nn.Module, _: int) -> float:
        """Share of pixels in their class."""
        with torch.inference_mode():
            return float((model.eval()(IMAGES).argmax(1) == INSIDE).float().mean())

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.model.state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_segmentation_learns_and_says_how():
    done = Trained(replace(PLAN, steps=120, looks=40, score="val_overlap"), lr=3e-2)
    assert list(done.history[0]) == ["step", "loss", "val_overlap", "lr"]
    assert [row["step"] for row in done.history] == list(range(3, 121, 3))
    assert done.history[-1]["loss"] < 0.6 * done.history[0]["loss"]
    assert max(row["val_overlap"] for row in done.history) > 0.8
    rates = [3e-2 * warmup_cosine(row["step"] - 1, 120, 2) for row in done.history]
    assert [row["lr"] for row in done.history] == pytest.approx(rates)


def test_a_step_is_a_function_of_its_number_alone():
    done, passes = Trained(), Passes(N, 4, derive_seed(1, "it-order"))
    assert all(torch.equal(rows, passes.rows(step)) for step, rows in enumerate(done.rows))
    assert same(done.weights, Trained().weights) and not same(done.weights, Trained(seed=2).weights)


@pytest.mark.parametrize("n, batch", [(11, 4), (8, 4), (1, 4), (3, 8), (5, 1)])
def test_batches_are_whole_and_go_through_one_pass_after_another(n, batch):
    passes, steps = Passes(n, batch, 7), 3 * n
    rows = [passes.rows(step) for step in range(steps)]
    assert [len(part) for part in rows] == [batch] * steps
    orders = torch.cat(rows).view(-1, n)  # 3 n batches are 3 x batch passes
    assert len(orders) == 3 * batch and (orders.sort(1).values == torch.arange(n)).all()
    assert n < 5 or len({tuple(order.tolist()) for order in orders}) > 1, "each pass has its own order"
    backwards = Passes(n, batch, 7)
    assert all(torch.equal(backwards.rows(step), rows[step]) for step in reversed(range(steps)))


@pytest.mark.parametrize("steps, looks, edges", [(9, 3, [0, 3, 6, 9]), (10, 4, [0, 2, 5, 8, 10]), (3, 3, [0, 1, 2, 3])])
def test_looks_are_evenly_spaced_and_the_last_is_at_the_end(steps, looks, edges):
    plan = replace(PLAN, steps=steps, looks=looks)
    assert plan.edges() == edges
    assert [row["step"] for row in Trained(plan).history] == edges[1:]


def test_other_examples_take_equal_steps_batches_and_looks():
    few, many = Trained(replace(PLAN, n=5)), Trained(PLAN)
    for part in (few, many):
        assert [len(rows) for rows in part.rows] == [4] * 9 and len(part.judged) == 3
    assert [row["step"] for row in few.history] == [row["step"] for row in many.history]
    assert [row["lr"] for row in few.history] == [row["lr"] for row in many.history]


@pytest.mark.parametrize("n, steps", [(8, 6), (9, 9), (3, 3)])
def test_epochs_in_steps_see_everything_so_many_times(n, steps):
    assert steps_of_epochs(n, 4, 3) == steps
    seen = torch.cat(Trained(replace(PLAN, n=n, steps=steps)).rows).bincount()
    assert len(seen) == n and seen.min() >= 3 and seen.sum() == 4 * steps


@pytest.mark.parametrize(
    "scores, kept", [((1, 3, 2), 1), ((1, 2, 2), 2), ((3, 3, 1), 1), ((0, 0, 0), 2), ((2, 1, 0), 0)]
)
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_the_model_ends_with_the_best_look_the_latest_of_equals(scores, kept, ema):
    done = Trained(replace(PLAN, ema=ema), score=lambda model, look: float(scores[look]))
    assert same(done.weights, done.judged[kept][1])
    assert [row["val_accuracy"] for row in done.history] == list(scores)


@pytest.mark.parametrize("ema, clip", [(0.0, 0.0), (0.9, 0.0), (0.0, 0.1)])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch, killed_after, ema, clip):
    plan, save, saved = replace(PLAN, ema=ema, clip=clip), Checkpoint.save, []
    expected = Trained(plan)

    def dying(self, state):
        save(self, state)
        saved.append(1)
        if len(saved) == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        Trained(plan, Checkpoint(tmp_path))
    monkeypatch.setattr(Checkpoint, "save", save)
    resumed = Trained(plan, Checkpoint(tmp_path))
    assert len(resumed.judged) == 3 - killed_after
    assert same(resumed.weights, expected.weights) and resumed.history == expected.history
    again = Trained(plan, Checkpoint(tmp_path))  # nothing is left to do
    assert not again.judged and same(again.weights, expected.weights)


def test_averages_are_what_is_judged_and_kept_and_batch_statistics_lag_as_they_do():
    plain, done = Trained(), Trained(replace(PLAN, ema=0.9), score=lambda model, look: float(look))
    assert [row["loss"] for row in done.history] == [row["loss"] for row in plain.history], "it trains as without"
    assert all(own for own, _ in plain.judged) and not any(own for own, _ in done.judged)
    (_, last), (_, mean) = plain.judged[-1], done.judged[-1]
    for name, value in last.items():
        assert torch.equal(value, mean[name]) != value.is_floating_point(), name
    assert same(done.weights, mean)


def test_the_average_is_that_of_the_steps():
    plan = replace(PLAN, steps=3)  # a look each
    expected = network().state_dict()["0.weight"]
    for step, (_, state) in enumerate(Trained(plan).judged, 1):
        expected = torch.lerp(expected, state["0.weight"], 1 - warmed_up(0.9, step))
    torch.testing.assert_close(Trained(replace(plan, ema=0.9)).judged[-1][1]["0.weight"], expected)


def test_gradients_are_clipped(monkeypatch):
    norms, clip = [], nn.utils.clip_grad_norm_

    def watched(parameters, most):
        clip(parameters, most)
        norms.append(torch.stack([p.grad.norm() for p in parameters]).norm().item())

    monkeypatch.setattr(looks.nn.utils, "clip_grad_norm_", watched)
    Trained(replace(PLAN, clip=0.05), loss=lambda value: 100 * value)
    assert norms == pytest.approx([0.05] * 9, rel=1e-3)


@pytest.mark.parametrize("killed", [False, True])
def test_every_group_keeps_its_share_of_the_rate(tmp_path, killed):
    rates = []

    def run(scores: list[float]) -> None:
        model, left = network(), iter(scores)
        groups = [{"params": model[0].parameters(), "lr": 1e-3}, {"params": model[4].parameters(), "lr": 1e-2}]
        optimizer = torch.optim.AdamW(groups)

        def loss_of(rows: Tensor, generator: torch.Generator) -> Tensor:
            rates.append([group["lr"] for group in optimizer.param_groups])
            return F.cross_entropy(model(IMAGES[rows]), INSIDE[rows])

        fit_steps("it", model, loss_of, lambda model: next(left), PLAN, optimizer, 0, Checkpoint(tmp_path))

    if killed:
        with pytest.raises(StopIteration):
            run([0.0])
        rates = rates[:3]  # what came after the first look was not saved
    run([0.0] * 3)
    assert rates == [[rate * PLAN.schedule(step, 9) for rate in (1e-3, 1e-2)] for step in range(9)]


def test_diverging_training_is_named_with_the_advice():
    bad = replace(PLAN, if_not_finite="lower unet.lr (0.01)")
    with pytest.raises(InputError, match=r"it: the loss is not finite within 3 steps; lower unet\.lr \(0\.01\)"):
        Trained(bad, loss=lambda value: value * np.nan)


def test_a_judge_that_says_nothing_is_an_error():
    with pytest.raises(ValueError, match="val_accuracy is not a number after 3 steps"):
        Trained(score=lambda model, look: float("nan"))


def test_out_of_memory_says_what_to_do():
    def hopeless(value):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(InputError, match=r"it: out of GPU memory; lower unet\.batch"):
        Trained(replace(PLAN, if_too_large="lower unet.batch"), loss=hopeless)


def test_scaled_losses_train_alike():
    torch.testing.assert_close(Trained(replace(PLAN, scaled=True)).weights, Trained().weights, rtol=1e-3, atol=1e-4)
