"""RDN without its upsampler: the larger of the two encoders that LIIF was published with, features of 64.

It does not upscale; borders are padded with zeros as published.
Source: Zhang et al., "Residual Dense Network for Image Super-Resolution", CVPR 2018, configuration "B" (16 blocks of 8
convolutions, growth 64); key names as in the published LIIF checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LAYERS = 8  # convolutions in a block


class DenseConv(nn.Module):
    """(N, C, h, w) -> (N, C + growth, h, w): what came in, and what one convolution makes of it."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(inputs, growth, 3, padding=1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x)], 1)


class DenseBlock(nn.Module):
    """x + a 1x1 blend of everything that its convolutions made of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(DenseConv(width * (1 + layer), width) for layer in range(LAYERS)))
        self.LFF = nn.Conv2d(width * (1 + LAYERS), width, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.LFF(self.convs(x))
        return out


class Rdn(nn.Module):
    """(N, 3, h, w) in [-1, 1] -> features (N, width, h, w); each depends on 8 * blocks + 3 pixels to every side."""

    def __init__(self, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.SFENet1 = nn.Conv2d(3, width, 3, padding=1)
        self.SFENet2 = nn.Conv2d(width, width, 3, padding=1)
        self.RDBs = nn.ModuleList(DenseBlock(width) for _ in range(blocks))
        self.GFF = nn.Sequential(nn.Conv2d(blocks * width, width, 1), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        shallow: Tensor = self.SFENet1(x)
        feat = self.SFENet2(shallow)
        blocks = []
        for block in self.RDBs:
            feat = block(feat)
            blocks.append(feat)
        out: Tensor = shallow + self.GFF(torch.cat(blocks, 1))
        return out
