"""What a classifier costs: parameters, multiply-accumulates, and the time it takes on this machine."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode

from waferbench.learning.runtime import autocast

SECONDS = 2.0  # that one timing takes at least


def count(model: nn.Module, image_size: int) -> dict[str, int]:
    """Trainable and fixed parameters, and multiply-accumulates of one image of 3 x S x S.

    Counted are convolutions and matrix products, those of attention included; sums, norms and activations are not, as
    in the figures that papers give. Nothing is computed: the network is counted on tensors without values.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    shell = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        shell(torch.empty(1, 3, image_size, image_size, device="meta"))
    return {"parameters": parameters, "macs": counter.get_total_flops() // 2}


def time_predictions(
    model: nn.Module, image_size: int, device: torch.device, precision: str = "auto", batch: int = 64
) -> dict[str, float]:
    """Median time of one image alone, and images a second in batches, by the threads that torch has been given.

    Returns:
        latency_ms, images_per_second. They vary from run to run and from machine to machine.
    """
    model = model.to(device, memory_format=torch.channels_last).eval()
    one, many = (_median(model, n, image_size, device, precision) for n in (1, batch))
    return {"latency_ms": round(1000 * one, 3), "images_per_second": round(batch / many, 1)}


def _median(model: nn.Module, n: int, image_size: int, device: torch.device, precision: str) -> float:
    """Seconds of one forward pass of n images."""
    images = torch.rand(n, 3, image_size, image_size, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode(), autocast(device, precision):
        timer = Timer("model(images)", globals={"model": model, "images": images}, num_threads=torch.get_num_threads())
        timer.timeit(3)  # the first passes choose kernels
        return timer.blocked_autorange(min_run_time=SECONDS).median
