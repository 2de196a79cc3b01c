"""Averaged weights and the ways that a learning rate goes."""

from itertools import pairwise

import pytest
import torch

from waferbench.learning.average import Average, warmed_up
from waferbench.learning.schedule import constant, cosine, warmup_cosine


def test_the_average_follows_by_its_decay():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    average, expected = Average({"w": weight}, 0.5), torch.tensor([1.0, 2.0])
    for step in (1, 2, 3, 40):
        weight.data += step
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach()
        torch.testing.assert_close(average.state_dict()["w"], expected)
    assert warmed_up(0.5, 40) == 0.5 and warmed_up(0.5, 1) < 0.2
    average.take()
    torch.testing.assert_close(weight.detach(), expected)


def test_an_average_goes_on_from_its_state():
    weight = torch.nn.Parameter(torch.zeros(2))
    average, other = (Average({"w": weight}, 0.9) for _ in range(2))
    weight.data += 1
    average.update(1)
    other.load_state_dict({name: value.clone() for name, value in average.state_dict().items()})
    weight.data += 1
    for one in (average, other):
        one.update(2)
    assert torch.equal(average.state_dict()["w"], other.state_dict()["w"])


def test_no_decay_is_no_average():
    weight = torch.nn.Parameter(torch.zeros(2))
    average = Average({"w": weight}, 0.0)
    average.update(1)
    average.load_state_dict({"w": torch.ones(2)})
    average.take()
    assert average.state_dict() == {} and not weight.any()


def test_the_rate_rises_in_equal_steps_then_falls_to_nothing():
    factors = [warmup_cosine(step, 100, 4) for step in range(100)]
    assert factors[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert all(a > b for a, b in pairwise(factors[4:]))
    assert factors[52] == pytest.approx(0.5) and 0 < factors[-1] < 1e-3
    assert warmup_cosine(0, 100, 0) == 1
    assert [cosine(step, 100) for step in range(6)] == [warmup_cosine(step, 100, 5) for step in range(6)]
    assert [constant(step, 3) for step in range(3)] == [1, 1, 1]


def test_the_shortest_trainings_have_rates():
    for steps in (1, 2):
        for warmup in range(steps + 1):
            factors = [warmup_cosine(step, steps, warmup) for step in range(steps)]
            assert all(0 < factor <= 1 for factor in factors)
