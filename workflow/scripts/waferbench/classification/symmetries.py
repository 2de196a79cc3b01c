"""A classifier asked about a wafer in all of its eight orientations at once."""

from __future__ import annotations

import torch
from torch import nn


class Symmetric(nn.Module):
    """A network whose features are averaged over the wafer's eight symmetries (four quarter turns, each mirrored).

    The head is linear in the features, so that its logits are the mean of the eight orientations' as well. Orientations
    go through the network one after another: eight times the time, no more memory.

    Args:
        network: of timm, with ``forward_features``, ``forward_head`` and a linear classifier.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def get_classifier(self) -> nn.Module:
        """The linear head, as of every network of timm."""
        return self.network.get_classifier()

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        """float (N, 3, S, S) to the mean features, float (N, D)."""
        total = torch.zeros(())
        for mirrored in (images, images.flip(3)):
            for turns in range(4):
                maps = self.network.forward_features(mirrored.rot90(turns, (2, 3)))
                total = self.network.forward_head(maps, pre_logits=True) + total.to(images.device)
        return total / 8

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """float (N, D) to themselves, or to logits float (N, K)."""
        return features if pre_logits else self.get_classifier()(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """float (N, 3, S, S) to logits float (N, K)."""
        return self.forward_head(self.forward_features(images))
