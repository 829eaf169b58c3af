"""SPAN: six blocks of three plain convolutions whose last output, odd and bounded, weighs the block's output.

The attention has no parameters: a block's output is (out + input) times (sigmoid(out) - 1/2). Each factor has a network
of its own (`SpanScale`); other scales are reached by an antialiased resize of what the next larger one makes. It does
not clamp; windows come with a halo. `SpanFeatures` are all layers but the last, for networks that begin with them.
Source: Wan, Yu, Wu, Zhao and others, "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPR
Workshops 2024; names of the keys as published, in the re-parameterised form (plain 3x3 convolutions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contract import View
from models.srresnet import cut, moved, needed, take

ENLARGING_HALO = 1  # input pixels that the last convolution sees beyond a feature's own
LEVELS = 255.0  # inputs are counted in levels of 8 bits
MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K


@dataclass(frozen=True)
class SpanConfig:
    """`channels` of every block; `scales`: the factors there are networks for, from the smallest on."""

    channels: int = 48
    scales: tuple[int, ...] = (2, 4)


class Spab(nn.Module):
    """Swift parameter-free attention block; the output, and that of its first convolution, activated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = F.silu(self.c1_r(x))
        out = self.c3_r(F.silu(self.c2_r(first)))
        return (out + x) * (torch.sigmoid(out) - 0.5), first


class SpanFeatures(nn.Module):
    """(N, 3, h, w) in [0, 1] -> (N, channels, h, w)."""

    mean: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN))
        self.conv_1 = nn.Conv2d(3, channels, 3, padding=1)
        self.block_1, self.block_2, self.block_3 = (Spab(channels) for _ in range(3))
        self.block_4, self.block_5, self.block_6 = (Spab(channels) for _ in range(3))
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_cat = nn.Conv2d(4 * channels, channels, 1)

    def features(self, x: Tensor) -> Tensor:
        kept: Tensor = self.conv_cat(self.parts(x))
        return kept

    def parts(self, x: Tensor) -> Tensor:
        """What the last layer sums up, (N, 4 channels, h, w). The first layer, whose input is levels, runs in float32,
        for half precision has too few of them; the others in the type of their weights."""
        centred = (x.float() - self.mean.float()[:, None, None]) * LEVELS
        head = in_float32(self.conv_1, centred.contiguous(memory_format=torch.channels_last))
        first, _ = self.block_1(head.to(self.conv_1.weight.dtype))
        out = first
        for block in (self.block_2, self.block_3, self.block_4, self.block_5):
            out, _ = block(out)
        out, inner = self.block_6(out)
        return torch.cat([head.to(out.dtype), self.conv_2(out), first, inner], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class SpanScale(SpanFeatures):
    """The network of one factor, with the published key names: features and a pixel shuffle."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__(channels)
        self.scale = scale
        self.upsampler = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)

    def enlarge(self, lr: Tensor) -> Tensor:
        """lr (N, 3, h, w) in [0, 1] -> (N, 3, scale * h, scale * w), float32, not clamped."""
        return self.finish(self.features(lr))

    def finish(self, feat: Tensor) -> Tensor:
        return F.pixel_shuffle(self.upsampler(feat), self.scale).float()

    def render(self, feat: Tensor, view: View) -> Tensor:
        """Features (1, C, h, w) -> samples (3, rows, cols), a block at a time."""
        out = torch.empty(3, view.rows.count, view.cols.count, device=feat.device)
        for rows, cols in product(cut(view.rows), cut(view.cols)):
            pairs = zip((rows, cols), feat.shape[2:], strict=True)
            tall, wide = (needed(axis, side, self.scale, ENLARGING_HALO) for axis, side in pairs)
            fine = self.finish(feat[:, :, tall, wide])[0]
            top, left = rows.start - view.rows.start, cols.start - view.cols.start
            block = take(fine, View(moved(rows, tall.start), moved(cols, wide.start)), self.scale)
            out[:, top : top + rows.count, left : left + cols.count] = block
        return out


def in_float32(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A layer of any precision, under autocast too; its input and output are float32."""
    with torch.autocast(x.device.type, enabled=False):
        bias = None if layer.bias is None else layer.bias.float()
        return F.conv2d(x, layer.weight.float(), bias, padding=layer.padding)


class Span(nn.Module):
    """A network for each factor; fulfils `models.contract.Upscaler`."""

    def __init__(self, config: SpanConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpanConfig()
        self.of = nn.ModuleDict({f"x{scale}": SpanScale(self.config.channels, scale) for scale in self.config.scales})

    def forward(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        """See `models.contract.Upscaler`."""
        networks = [self.for_view(view) for view in views]
        feats = {network: torch.split(network.features(windows), 1) for network in dict.fromkeys(networks)}
        return [network.render(feats[network][i], views[i]) for i, network in enumerate(networks)]

    def for_view(self, view: View) -> SpanScale:
        """The network of the least factor that is not below what is asked for, or of the largest."""
        wanted = max(view.rows.scale, view.cols.scale)
        scale = next((scale for scale in self.config.scales if scale >= wanted), self.config.scales[-1])
        network: SpanScale = self.of[f"x{scale}"]  # type: ignore[assignment]
        return network

    @property
    def largest(self) -> SpanScale:
        return self.of[f"x{self.config.scales[-1]}"]  # type: ignore[return-value]
