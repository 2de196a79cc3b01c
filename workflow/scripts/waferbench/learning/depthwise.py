"""Depthwise convolutions whose weight gradient stays fast where the map is smaller than the kernel.

Late stages of mobile networks run 5x5 kernels on 2x2 or 4x4 maps once images are small. The CPU library behind
`torch.nn.functional.conv2d` takes 10 to 80 times longer for that gradient than a sum over the few taps that meet
the map; in ``tf_efficientnet_lite0`` at 64 px it is half of a training step.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def speed_up_depthwise(model: nn.Module) -> nn.Module:
    """Give the model's depthwise convolutions the fast gradient, in place; parameters and their names stay."""
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_depthwise(module):
            module.__class__ = DepthwiseConv2d
    return model


class DepthwiseConv2d(nn.Conv2d):
    """A stride-1 depthwise `torch.nn.Conv2d` without bias; same values, gradients equal up to rounding."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        small = min(input.shape[2:]) < max(self.kernel_size)
        if small and input.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled():
            return _SmallMap.apply(input, weight, self.padding)
        return super()._conv_forward(input, weight, bias)


class _SmallMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, maps: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.padding = padding
        return F.conv2d(maps, weight, padding=padding, groups=len(weight))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        maps, weight = (tensor.to(gradient.dtype) for tensor in ctx.saved_tensors)
        to_maps = None
        if ctx.needs_input_grad[0]:
            to_maps = torch.nn.grad.conv2d_input(maps.shape, weight, gradient, padding=ctx.padding, groups=len(weight))
        to_weight = weight_gradient(maps, gradient, weight.shape, ctx.padding)
        return to_maps, to_weight.to(ctx.saved_tensors[1].dtype), None


def weight_gradient(maps: Tensor, gradient: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
    """The gradient of a depthwise kernel, tap by tap over the part of the map that the tap meets.

    Args:
        maps: float (N, C, H, W), the layer's input.
        gradient: float (N, C, H', W'), of its output.
        shape: (C, 1, K, L), of the kernel.
        padding: rows and columns of zeros around the map.

    Returns:
        float (C, 1, K, L).
    """
    maps, gradient = maps.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    result = maps.new_zeros(shape)
    for i in range(shape[2]):
        for j in range(shape[3]):
            here = [
                _overlap(tap - pad, size, out)
                for tap, pad, size, out in zip((i, j), padding, maps.shape[1:3], gradient.shape[1:3], strict=True)
            ]
            (rows, rows_out), (columns, columns_out) = here
            result[:, 0, i, j] = (maps[:, rows, columns] * gradient[:, rows_out, columns_out]).sum((0, 1, 2))
    return result


def _overlap(shift: int, size: int, out: int) -> tuple[slice, slice]:
    """Where output positions, moved by ``shift``, lie on the input; empty slices where they never do."""
    start, stop = max(0, -shift), max(0, -shift, min(out, size - shift))
    return slice(start + shift, stop + shift), slice(start, stop)


def _is_depthwise(conv: nn.Conv2d) -> bool:
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and conv.stride == (1, 1)
        and conv.dilation == (1, 1)
        and conv.bias is None
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
    )
