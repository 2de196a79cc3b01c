"""The training loop: averages, parts of a batch, memory, kills, divergence."""

import numpy as np
import pytest
import torch

from waferbench.base.errors import InputError
from waferbench.learning import training
from waferbench.learning.runtime import Checkpoint
from waferbench.learning.training import fit, slices

X = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


def run(loss_wrapper=None, steps=30, checkpoint=None, **options) -> tuple[torch.Tensor, np.ndarray]:
    """A linear regression on batches of four; its weights and losses."""
    weight = torch.nn.Parameter(torch.zeros(3))

    def loss_of(step: int, rows: slice) -> torch.Tensor:
        chosen = torch.arange(4 * step, 4 * step + 4)[rows] % len(X)
        return ((X[chosen] @ weight - Y[chosen]) ** 2).mean()

    losses = fit(
        "it",
        {"w": weight},
        loss_wrapper(loss_of) if loss_wrapper else loss_of,
        steps,
        4,
        0.1,
        checkpoint or Checkpoint(None),
        **options,
    )
    return weight.detach(), losses


def test_it_learns_and_says_how():
    weight, losses = run(steps=200)
    torch.testing.assert_close(weight, torch.tensor([1.0, -2.0, 0.5]), atol=0.05, rtol=0)
    assert losses.shape == (200,) and losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("accumulate", [2, 3, 4, 9])
def test_a_batch_in_parts_has_the_same_gradient(accumulate):
    torch.testing.assert_close(run(accumulate=accumulate)[0], run()[0], rtol=1e-4, atol=1e-5)


def test_slices_cover_the_batch():
    for batch, parts in ((7, 3), (4, 9), (5, 1)):
        covered = [i for part in slices(batch, parts) for i in range(batch)[part]]
        assert covered == list(range(batch))
        assert len(slices(batch, parts)) == min(batch, parts)


def test_out_of_memory_takes_smaller_parts_of_the_same_batch(capsys):
    def greedy(loss_of):
        def loss(step, rows):
            if step >= 5 and rows.stop - rows.start > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return loss_of(step, rows)

        return loss

    torch.testing.assert_close(run(greedy)[0], run()[0], rtol=1e-4, atol=1e-5)
    assert capsys.readouterr().err.count("batches of 4 in 2 parts") == 1

    def hopeless(loss_of):
        return lambda step, rows: (_ for _ in ()).throw(torch.OutOfMemoryError("no"))

    with pytest.raises(InputError, match="one by one"):
        run(hopeless)


def test_the_average_is_that_of_the_steps():
    steps, seen = 12, []

    def watch(loss_of):
        def loss(step, rows):
            result = loss_of(step, rows)
            seen.append(result)
            return result

        return loss

    mean, last = run(steps=steps, ema=0.9)[0], run(watch, steps=steps)[0]
    expected = torch.zeros(3)
    for step in range(1, steps + 1):
        weight = run_to(step, steps)
        expected = torch.lerp(expected, weight, 1 - min(0.9, (1 + step) / (10 + step)))
    torch.testing.assert_close(mean, expected)
    assert not torch.allclose(mean, last)


def run_to(step: int, steps: int) -> torch.Tensor:
    """The weights after so many steps of a training of ``steps``."""
    state = {}

    class Last(Checkpoint):
        due = True

        def save(self, value):
            if value["step"] == step:
                state["w"] = value["parameters"]["w"].clone()

    every = training.CHECK_EVERY
    training.CHECK_EVERY = 1
    try:
        run(steps=steps, checkpoint=Last(None))
    finally:
        training.CHECK_EVERY = every
    return state["w"]


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("killed_at", [1, 4, 7])
def test_a_killed_training_goes_on_to_the_same_bytes(tmp_path, monkeypatch, killed_at, ema):
    monkeypatch.setattr(training, "CHECK_EVERY", 3)
    monkeypatch.setattr(Checkpoint, "due", property(lambda self: True))
    expected = run(steps=9, ema=ema)

    def killing(loss_of):
        def loss(step, rows):
            if step == killed_at:
                raise KeyboardInterrupt
            return loss_of(step, rows)

        return loss

    with pytest.raises(KeyboardInterrupt):
        run(killing, steps=9, ema=ema, checkpoint=Checkpoint(tmp_path))
    again = run(steps=9, ema=ema, checkpoint=Checkpoint(tmp_path))
    assert torch.equal(again[0], expected[0]) and np.array_equal(again[1], expected[1])


def test_diverging_training_is_an_error():
    with pytest.raises(InputError, match="from step 3"):
        run(lambda loss_of: lambda step, rows: loss_of(step, rows) * (1 if step < 2 else np.nan), steps=4)
