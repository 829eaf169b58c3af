"""IMDN, a small network for one fixed scale, as a peer whose time counts: it is drawn at random, nothing is learnt.

Source: Hui, Gao, Yang and Wang, "Lightweight Image Super-Resolution with Information Multi-distillation Network", ACM
MM 2019: six blocks of 64 channels; each keeps a quarter of the channels of its first three convolutions and hands on
the rest, and weighs what was kept by mean and deviation of its channels. 694,404 parameters at x2, 715,176 at x4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS, KEPT, BLOCKS = 64, 16, 6
SLOPE = 0.05  # of a leaky rectifier below 0


class ContrastAttention(nn.Module):
    """Channels weighed by their contrast: mean and standard deviation over the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.widen = nn.Conv2d(CHANNELS, CHANNELS // 16, 1), nn.Conv2d(CHANNELS // 16, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        contrast = x.mean((2, 3), keepdim=True) + x.std((2, 3), correction=0, keepdim=True)
        return x * torch.sigmoid(self.widen(torch.relu(self.narrow(contrast))))


class Block(nn.Module):
    """Information multi-distillation block."""

    def __init__(self) -> None:
        super().__init__()
        handed = CHANNELS - KEPT
        self.first = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.second, self.third = (nn.Conv2d(handed, CHANNELS, 3, padding=1) for _ in range(2))
        self.fourth = nn.Conv2d(handed, KEPT, 3, padding=1)
        self.attention, self.last = ContrastAttention(), nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = [], x
        for layer in (self.first, self.second, self.third):
            part, rest = torch.split(F.leaky_relu(layer(rest), SLOPE), [KEPT, CHANNELS - KEPT], dim=1)
            kept.append(part)
        distilled = torch.cat([*kept, self.fourth(rest)], 1)
        weighed: Tensor = self.last(self.attention(distilled))
        return x + weighed


class Imdn(nn.Module):
    """(N, 3, h, w) -> (N, 3, scale h, scale w)."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.fuse = nn.Conv2d(BLOCKS * CHANNELS, CHANNELS, 1)
        self.tail = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.upsampler = nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(x)
        outputs, out = [], head
        for block in self.blocks:
            out = block(out)
            outputs.append(out)
        fused = F.leaky_relu(self.fuse(torch.cat(outputs, 1)), SLOPE)
        return F.pixel_shuffle(self.upsampler(self.tail(fused) + head), self.scale)
