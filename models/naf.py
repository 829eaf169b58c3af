"""A U of NAF blocks: convolutions without activations at five sizes, whose blocks a code scales and shifts.

Where the published block multiplies its channels by a convolution of their mean over the picture, which is another one
in a crop, a tile and a whole, here a code of the whole picture scales and shifts them. So a pixel depends on its
surroundings and the code alone, and tiles can equal the whole. It knows no damage and does not tile.
Source: Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022 (block and U).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kernels import cpu, ops

KERNEL_TYPES = (torch.float32, torch.bfloat16)
MULTIPLE = 16  # of both sides of what the U takes: it halves them four times


class ChannelNorm(nn.Module):
    """Mean 0 and variance 1 over the channels of each pixel, then a gain and an offset; (N, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)
        return F.layer_norm(last, last.shape[-1:], self.weight, self.bias, 1e-6).permute(0, 3, 1, 2)


class NafBlock(nn.Module):
    """y = x + beta conv(gated(depthwise(conv(norm(x)))) scaled and shifted), z = y + gamma conv(gated(conv(norm(y)))).

    Gated is the first half of the channels times the second. Starts as the identity.
    """

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(channels), ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.conv4 = nn.Conv2d(channels, 2 * channels, 1)
        self.conv5 = nn.Conv2d(channels, channels, 1)
        self.guide = nn.Linear(code, 2 * channels)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(channels, 1, 1)) for _ in range(2))
        nn.init.zeros_(self.guide.weight)
        nn.init.zeros_(self.guide.bias)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """x (N, channels, h, w), code (N or 1, code)."""
        guided = self.guide(code)
        if self.has_kernel(x, guided):
            scale, shift = guided.expand(len(x), -1).chunk(2, 1)
            return ops.naf_block(x, scale, shift, self.layers())
        scale, shift = guided[..., None, None].chunk(2, 1)
        first, second = self.conv2(self.conv1(self.norm1(x))).chunk(2, 1)
        x = x + weighed(self.conv3, self.beta, torch.addcmul(shift, first * second, 1 + scale))
        first, second = self.conv4(self.norm2(x)).chunk(2, 1)
        return x + weighed(self.conv5, self.gamma, first * second)

    def has_kernel(self, x: Tensor, guided: Tensor) -> bool:
        """Whether `kernels.ops.naf_block` is compiled for this; its reference is no faster than what stands here."""
        fits = x.shape[1] % ops.NAF_LANES == 0 and x.dtype == guided.dtype == self.beta.dtype
        return fits and x.dtype in KERNEL_TYPES and served_on_cpu(x)

    def layers(self) -> ops.NafLayers:
        """As `kernels.ops.naf_block` takes them."""
        before = parameters_of(self.norm1, self.conv1, self.conv2, self.conv3)
        after = parameters_of(self.norm2, self.conv4, self.conv5)
        return ops.NafLayers(*[*before, self.beta.flatten(), *after, self.gamma.flatten()])


def weighed(conv: nn.Conv2d, by: Tensor, x: Tensor) -> Tensor:
    """`by` (C, 1, 1) times what a 1x1 convolution makes of x. Its weights are multiplied, which are few: that spares a
    pass over the pixels, and three with gradients."""
    assert conv.bias is not None
    return F.conv2d(x, conv.weight * by[..., None], conv.bias * by.flatten())


class Up(nn.Module):
    """(N, 2c, h, w) -> (N, c, 2h, 2w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = F.pixel_shuffle(self.conv(x), 2)
        return out

    def add_to(self, kept: Tensor, x: Tensor) -> Tensor:
        """`kept` (N, c, 2h, 2w) and what `forward` makes of x. Where no gradient is wanted it is added in place, by a
        product whose outputs lie as the larger picture's pixels do: torch's 1x1 convolution copies on one thread."""
        if not served_on_cpu(x):
            return kept + self.forward(x)
        n, c, height, width = kept.shape
        weight = self.conv.weight.view(c, 2, 2, -1).permute(1, 2, 0, 3).reshape(4 * c, -1)
        made = F.linear(x.permute(0, 2, 3, 1), weight).view(n, height // 2, width // 2, 2, 2, c)
        pixels = kept.permute(0, 2, 3, 1).view(n, height // 2, 2, width // 2, 2, c)
        pixels += made.permute(0, 1, 3, 2, 4, 5)
        return kept


class NafU(nn.Module):
    """(N, in, h, w), sides multiples of 16, and a code (N, code) -> (N, out, h, w), nothing at first.

    `down`, `middle` and `up` count blocks: at each of the four sizes on the way down, from the full one; at a
    sixteenth; on the way up, to the full one. Channels are `width` at the full size and double with each halving.
    """

    def __init__(
        self, channels: tuple[int, int], width: int, down: Sequence[int], middle: int, up: Sequence[int], code: int
    ) -> None:
        super().__init__()
        widths = [width << level for level in range(len(down))]
        self.head = nn.Conv2d(channels[0], width, 3, padding=1)
        self.down = nn.ModuleList(blocks(wide, count, code) for wide, count in zip(widths, down, strict=True))
        self.shrink = nn.ModuleList(nn.Conv2d(wide, 2 * wide, 2, 2) for wide in widths)
        self.middle = blocks(2 * widths[-1], middle, code)
        self.grow = nn.ModuleList(Up(2 * wide) for wide in reversed(widths))
        self.up = nn.ModuleList(blocks(wide, count, code) for wide, count in zip(widths[::-1], up, strict=True))
        self.tail = nn.Conv2d(width, channels[1], 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]
        levels = [1 << level for level in range(len(down))]
        seen = sum(level * (a + b) for level, a, b in zip(levels, down, reversed(up), strict=True))
        self.reach = (
            2 + seen + MULTIPLE * middle + MULTIPLE - 1
        )  # pixels to every side, those of a halved one's square too

    @property
    def has_kernels(self) -> bool:
        """Whether our kernels make every block, where no gradient is wanted."""
        weight = self.head.weight
        on_cpu = weight.device.type == "cpu" and not cpu.why_missing()
        return on_cpu and weight.dtype in KERNEL_TYPES and len(weight) % ops.NAF_LANES == 0

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        x = self.head(x)
        kept = []
        for level, shrink in zip(self.down, self.shrink, strict=True):
            x = through(level, x, code)
            kept.append(x)
            x = shrink(x)
        x = through(self.middle, x, code)
        for level, grow in zip(self.up, self.grow, strict=True):
            assert isinstance(grow, Up)
            x = through(level, grow.add_to(kept.pop(), x), code)
        out: Tensor = self.tail(x)
        return out


def served_on_cpu(x: Tensor) -> bool:
    """Whether no gradient is wanted, on a processor for which our kernels are compiled."""
    return not torch.is_grad_enabled() and x.device.type == "cpu" and x.numel() > 0 and not cpu.why_missing()


def parameters_of(*layers: ChannelNorm | nn.Conv2d) -> list[Tensor]:
    """Weight and bias of each."""
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias) if tensor is not None]


def blocks(channels: int, count: int, code: int) -> nn.ModuleList:
    return nn.ModuleList(NafBlock(channels, code) for _ in range(count))


def through(level: nn.Module, x: Tensor, code: Tensor) -> Tensor:
    """x through the blocks of one size."""
    for block in level.children():
        x = block(x, code)
    return x
