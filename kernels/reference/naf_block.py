"""The specification of a NAF block under a code, in plain PyTorch, and what serves where nothing faster is.

    y = x + beta conv3(gated(conv2(conv1(norm1(x)))) (1 + scale) + shift)
    z = y + gamma conv5(gated(conv4(norm2(y))))
A norm takes the channels of each pixel to mean 0 and variance 1, then a gain and an offset. conv2 is 3x3 and has a
kernel for each channel; beyond the picture it meets zeros. The others are 1x1. Gated is the first half of the channels
times the second. Scale and shift are a picture's. For bfloat16 arithmetic is float32, rounded once, at the end; a
processor that multiplies bfloat16 may round what a 1x1 convolution takes, too.
It does not check its arguments; that is `kernels.ops`.
Source: Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022 (the block, without its attention).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-6  # added to the variance
LANES = 16  # that the channels are a multiple of


class NafLayers(NamedTuple):
    """What a block of C channels has learnt, convolutions as torch has them; all of the type of what it is given."""

    norm1_gain: Tensor  # (C,)
    norm1_offset: Tensor
    conv1: Tensor  # (2C, C, 1, 1)
    conv1_bias: Tensor
    conv2: Tensor  # (2C, 1, 3, 3)
    conv2_bias: Tensor
    conv3: Tensor  # (C, C, 1, 1)
    conv3_bias: Tensor
    beta: Tensor  # (C,)
    norm2_gain: Tensor  # (C,)
    norm2_offset: Tensor
    conv4: Tensor  # (2C, C, 1, 1)
    conv4_bias: Tensor
    conv5: Tensor  # (C, C, 1, 1)
    conv5_bias: Tensor
    gamma: Tensor  # (C,)


def layer_shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """By the names of `NafLayers`."""
    own, both = (channels,), (2 * channels,)
    wide, same, taps = (*both, channels, 1, 1), (*own, channels, 1, 1), (*both, 1, 3, 3)
    shapes: tuple[tuple[int, ...], ...] = (
        own,
        own,
        wide,
        both,
        taps,
        both,
        same,
        own,
        own,
        own,
        own,
        wide,
        both,
        same,
        own,
        own,
    )
    return dict(zip(NafLayers._fields, shapes, strict=True))


def naf_block(x: Tensor, scale: Tensor, shift: Tensor, layers: NafLayers) -> Tensor:
    """x (N, C, h, w), scale and shift (N, C) -> z (N, C, h, w), channels last in memory."""
    kind = torch.float32 if x.dtype == torch.bfloat16 else x.dtype
    own = NafLayers(*(layer.detach().to(kind) for layer in layers))
    factor, added = (one.detach().to(kind)[:, :, None, None] for one in (1 + scale.to(kind), shift))
    y = x.detach().to(kind)
    wide = F.conv2d(_normed(y, own.norm1_gain, own.norm1_offset), own.conv1, own.conv1_bias)
    wide = F.conv2d(wide, own.conv2, own.conv2_bias, padding=1, groups=len(own.conv2))
    y = y + own.beta[:, None, None] * F.conv2d(_gated(wide) * factor + added, own.conv3, own.conv3_bias)
    wide = F.conv2d(_normed(y, own.norm2_gain, own.norm2_offset), own.conv4, own.conv4_bias)
    z = y + own.gamma[:, None, None] * F.conv2d(_gated(wide), own.conv5, own.conv5_bias)
    return z.to(x.dtype).contiguous(memory_format=torch.channels_last)


def _normed(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    last = x.permute(0, 2, 3, 1)
    return F.layer_norm(last, last.shape[-1:], gain, offset, EPSILON).permute(0, 3, 1, 2)


def _gated(x: Tensor) -> Tensor:
    first, second = x.chunk(2, 1)
    return first * second
