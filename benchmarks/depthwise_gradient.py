"""A training step with and without the fast gradient of small depthwise maps, and one or two threads.

python benchmarks/depthwise_gradient.py --sizes 64 48 32 --batch 32
"""

from __future__ import annotations

import argparse
from itertools import product

import torch
import torch.nn.functional as F
from common import best_of, figure

from waferbench.learning.backbones import create_backbone
from waferbench.learning.depthwise import speed_up_depthwise


def milliseconds(model: torch.nn.Module, batch: int, size: int, steps: int) -> float:
    """Of one training image; the best of three runs."""
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 8, (batch,))

    def some() -> None:
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

    return best_of(3, some)[0] / steps / batch * 1e3


def main() -> None:
    """One line a figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 48, 32])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5)
    args = parser.parse_args()
    for size, threads in product(args.sizes, (1, 2)):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        plain = create_backbone(args.backbone, 8, pretrained=False)[0]
        fast = speed_up_depthwise(create_backbone(args.backbone, 8, pretrained=False)[0])
        slow_ms = milliseconds(plain, args.batch, size, args.steps)
        fast_ms = milliseconds(fast, args.batch, size, args.steps)
        what = f"a training step of {args.backbone}, {size} px, batch {args.batch}, threads: {threads}"
        figure(what, fast_ms, "ms/image", slow_ms, "torch's own gradient")


if __name__ == "__main__":
    main()
