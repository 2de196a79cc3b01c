"""The eight symmetries of the square."""

import numpy as np
import pytest

from waferbench.wafers.symmetries import COUNT, turned_to, under_symmetry


def test_there_are_eight_different_ones():
    square = np.arange(9).reshape(3, 3)
    assert len({under_symmetry(square, k).tobytes() for k in range(COUNT)}) == COUNT == 8
    assert under_symmetry(square, 0).tolist() == square.tolist()
    assert under_symmetry(np.arange(6).reshape(2, 3), 1).shape == (3, 2)


@pytest.mark.parametrize("symmetry", range(COUNT))
def test_stacks_turn_image_by_image_and_turn_back(symmetry):
    stack = np.random.default_rng(0).integers(0, 3, (4, 5, 5))
    turned = under_symmetry(stack, symmetry)
    for one, other in zip(stack, turned, strict=True):
        assert np.array_equal(under_symmetry(one, symmetry), other)
        assert np.array_equal(turned_to(one, other), one)
