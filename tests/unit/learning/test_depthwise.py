"""The fast gradient of depthwise convolutions against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from waferbench.learning.depthwise import DepthwiseConv2d, speed_up_depthwise


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (2, 7), (4, 3), (5, 5), (9, 9)])
@pytest.mark.parametrize("kernel, padding", [(3, 1), (5, 2), (5, 1), (3, 0)])
def test_values_and_gradients_are_torchs_own(size, kernel, padding):
    if min(size) + 2 * padding < kernel:
        pytest.skip("no output")
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, padding=padding, groups=6, bias=False).double()
    maps = torch.randn(3, 6, *size, dtype=torch.double, requires_grad=True)
    wanted = conv(maps)
    pull = torch.randn_like(wanted)
    expected = torch.autograd.grad(wanted, [maps, conv.weight], pull)
    fast = speed_up_depthwise(conv)
    assert type(fast) is DepthwiseConv2d
    found = fast(maps)
    gradients = torch.autograd.grad(found, [maps, fast.weight], pull)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradients, expected)


def test_only_what_it_can_do_is_replaced():
    left_alone = [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 8, 3, groups=4, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, stride=2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4, dilation=2, bias=False),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, groups=4, bias=False, padding="same"),
    ]
    assert all(type(module) is nn.Conv2d for module in speed_up_depthwise(nn.Sequential(*left_alone)))


def test_names_of_parameters_stay():
    model = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False), nn.BatchNorm2d(4))
    before = list(model.state_dict())
    assert list(speed_up_depthwise(model).state_dict()) == before


def test_inference_takes_torchs_way():
    conv = speed_up_depthwise(nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False))
    maps = torch.randn(2, 4, 3, 3)
    with torch.inference_mode():
        torch.testing.assert_close(conv(maps), F.conv2d(maps, conv.weight, padding=2, groups=4))


def test_mixed_precision_trains():
    conv = speed_up_depthwise(nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False))
    maps = torch.randn(2, 4, 3, 3, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        conv(maps).float().sum().backward()
    assert conv.weight.grad.dtype == torch.float32 and conv.weight.grad.abs().sum() > 0
    assert maps.grad.dtype == torch.float32
