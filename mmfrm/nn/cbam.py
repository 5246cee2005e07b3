"""CBAM: attention over channels, then over places.

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018 (arXiv 1807.06521), as in
the released program: ratio 16, no bias in the shared layers, a bias in the spatial convolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ChannelAttention(nn.Module):
    """One weight a channel, from what is average and what is largest in it."""

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        narrow = max(1, channels // ratio)
        self.shared_MLP = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        # (B, C, H, W) -> (B, C, 1, 1)
        average = self.shared_MLP(x.mean((2, 3), keepdim=True))
        largest = self.shared_MLP(x.amax((2, 3), keepdim=True))
        return torch.sigmoid(average + largest)


class SpatialAttention(nn.Module):
    """One weight a place, from the mean and the largest channel there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2d = nn.Conv2d(2, 1, kernel_size=7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        # (B, C, H, W) -> (B, 1, H, W)
        places = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv2d(places))


class CBAM(nn.Module):
    """Channel attention, then spatial attention, each multiplied in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel_attention = ChannelAttention(channels)
        self.spatial_attention = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        # (B, C, H, W) -> the same
        x = self.channel_attention(x) * x
        out: Tensor = self.spatial_attention(x) * x
        return out
