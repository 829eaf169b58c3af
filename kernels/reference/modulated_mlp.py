"""The specification of LM-LIIF's render perceptron, in plain PyTorch, and what serves where nothing faster is.

The modulations of an input pixel are 208 channels: six scales of 16, layer by layer, then six shifts of 16, then a
latent code of 16. A sample at place p = floor + part of an axis lies between the pixels floor and floor + 1, clamped to
the window. Each of these four neighbours makes a prediction of it:
    v = latent code, 2 (p - neighbour) down and right, cell (height and width of an output pixel)   20 values
    six times   v = relu((W v + b) (1 + scale) + shift)                                             16 values
    prediction = W v + b                                                                            3 values
The predictions are blended bilinearly and added to the base, which has a value for each sample; the sum is not clamped.
It does not check its arguments; that is `kernels.ops`.
Source: He and Jin, "Latent Modulated Function for Computational Optimal Continuous Image Representation", CVPR 2024;
the blend of four predictions is LIIF's local ensemble (Chen, Liu, Wang, CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

UNITS = 16
HIDDEN = 6  # layers
CHANNELS = (2 * HIDDEN + 1) * UNITS
COLOURS = 3
BLOCK_SAMPLES = 1 << 12  # that pass the layers together: small enough for the caches


class Places(NamedTuple):
    """Where the samples of one axis lie in the window, whose first and last pixel go on outside it."""

    floor: Tensor  # (count,) int64
    part: Tensor  # (count,) float32 in [0, 1)


class Samples(NamedTuple):
    """Samples on a grid of rows and columns."""

    rows: Places
    cols: Places
    cell: tuple[float, float]  # height and width of an output pixel in input pixels, times two


class Layers(NamedTuple):
    """The perceptron: weights (16, 20), five times (16, 16), (3, 16), and their biases; float32."""

    weights: Sequence[Tensor]
    biases: Sequence[Tensor]


def layer_shapes() -> list[tuple[int, int]]:
    """Shape of each layer's weight."""
    return [(UNITS, UNITS + 4), *[(UNITS, UNITS)] * (HIDDEN - 1), (COLOURS, UNITS)]


def modulated_mlp(modulations: Tensor, base: Tensor, samples: Samples, layers: Layers) -> Tensor:
    """modulations (208, h, w), base (3, rows, cols) -> samples (3, rows, cols)."""
    pixels = modulations.detach().permute(1, 2, 0)
    rows, cols = (_neighbours(axis, side) for axis, side in zip(samples[:2], pixels.shape[:2], strict=True))
    out = base.detach().clone(memory_format=torch.contiguous_format)
    height = max(1, BLOCK_SAMPLES // max(1, out.shape[2]))
    for top in range(0, out.shape[1], height):
        band = slice(top, top + height)
        for down, right in product(range(2), repeat=2):
            y, x = rows.pixel[down, band, None], cols.pixel[right]
            share = rows.share[down, band, None] * cols.share[right]
            ways = rows.way[down, band, None].expand_as(share), cols.way[right].expand_as(share)
            v = torch.cat([torch.stack(ways, -1), share.new_tensor(samples.cell).expand(*share.shape, 2)], -1)
            out[:, band] += share * _predict(pixels[y, x].to(base.dtype), v, layers).permute(2, 0, 1)
    return out


@dataclass(frozen=True)
class _Neighbours:
    """The two pixels around each sample of one axis, twice the way from each to it, their shares; all (2, samples)."""

    pixel: Tensor
    way: Tensor
    share: Tensor


def _neighbours(places: Places, size: int) -> _Neighbours:
    floor, part = places
    pixel = torch.stack([floor, floor + 1]).clamp(0, size - 1)
    return _Neighbours(pixel, 2 * ((floor - pixel) + part), torch.stack([1 - part, part]))


def _predict(modulations: Tensor, place: Tensor, layers: Layers) -> Tensor:
    """Predictions (rows, cols, 3) by pixels whose modulations are (rows, cols, 208), for samples whose way from them
    and cell are (rows, cols, 4)."""
    *scales_and_shifts, latent = modulations.reshape(*modulations.shape[:-1], 2 * HIDDEN + 1, UNITS).unbind(-2)
    *hidden, last = zip(*layers, strict=True)
    v = torch.cat([latent, place], -1)
    scales, shifts = scales_and_shifts[:HIDDEN], scales_and_shifts[HIDDEN:]
    for (weight, bias), scale, shift in zip(hidden, scales, shifts, strict=True):
        v = F.relu(F.linear(v, weight, bias) * (1 + scale) + shift)
    return F.linear(v, *last)
