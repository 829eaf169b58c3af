"""EDSR-baseline without its upsampler: the features that LIIF reads, one vector of 64 for every input pixel.

It does not upscale and does not shift the mean; borders are padded with zeros as published.
Source: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017 (no batch norm,
residual scale 1); key names as in the published LIIF checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Edsr(nn.Module):
    """(N, 3, h, w) in [-1, 1] -> features (N, width, h, w); each depends on 2 * blocks + 2 pixels to every side."""

    def __init__(self, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1))
        tail = nn.Conv2d(width, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)), tail)

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(x)
        out: Tensor = head + self.body(head)
        return out
