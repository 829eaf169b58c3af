"""The specification of LM-LIIF's render perceptron, in plain PyTorch, and what serves where nothing faster is.

What an input pixel says, its modulations, are 208 channels: six scales of 16, layer by layer, then six shifts of 16,
then a latent code of 16. A sample at place p = floor + part of an axis lies between the pixels floor and floor + 1,
held to the window. From each of its four neighbours it gets an answer:
    v = latent code, 2 (p - neighbour) down and right, cell (height and width of an output pixel)   20 values
    six times   v = relu((W v + b) (1 + scale) + shift)                                             16 values
    answer = W v + b                                                                                3 values
The answers are blended bilinearly, and so are the four pixels of the window itself, the base; the sample is the sum,
not clamped. It does not check its arguments; that is `kernels.ops`.
Source: He and Jin, "Latent Modulated Function for Computational Optimal Continuous Image Representation", CVPR 2024;
the blend of four answers is LIIF's local ensemble (Chen, Liu, Wang, CVPR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

UNITS = 16
HIDDEN = 6  # layers
CHANNELS = (2 * HIDDEN + 1) * UNITS
COLOURS = 3
BLOCK_SAMPLES = 1 << 12  # that pass the layers together: small enough for the caches


def layers() -> list[tuple[int, int]]:
    """Shape of each layer's weight."""
    return [(UNITS, UNITS + 4), *[(UNITS, UNITS)] * (HIDDEN - 1), (COLOURS, UNITS)]


def modulated_mlp(
    modulations: Tensor,
    window: Tensor,
    row_floor: Tensor,
    row_part: Tensor,
    col_floor: Tensor,
    col_part: Tensor,
    cell_height: float,
    cell_width: float,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
) -> Tensor:
    """modulations (208, h, w), window (3, h, w), floor and fraction of each place -> samples (3, rows, cols)."""
    said = modulations.detach().permute(1, 2, 0)
    rows, cols = _around(row_floor, row_part, window.shape[1]), _around(col_floor, col_part, window.shape[2])
    cell = cell_height, cell_width
    known = list(zip(weights, biases, strict=True))
    out = window.new_zeros(COLOURS, len(row_floor), len(col_floor))
    height = max(1, BLOCK_SAMPLES // max(1, len(col_floor)))
    for top in range(0, len(row_floor), height):
        band = slice(top, top + height)
        for down, right in product(range(2), repeat=2):
            y, x = rows.pixel[down, band, None], cols.pixel[right]
            share = rows.share[down, band, None] * cols.share[right]
            ways = rows.way[down, band, None].expand_as(share), cols.way[right].expand_as(share)
            answer = _ask(said[y, x].to(window.dtype), torch.stack(ways, -1), cell, known)
            out[:, band] += share * (answer.permute(2, 0, 1) + window[:, y, x])
    return out


@dataclass(frozen=True)
class _Around:
    """The two pixels around each sample of one axis, twice the way from each to it, their shares; all (2, samples)."""

    pixel: Tensor
    way: Tensor
    share: Tensor


def _around(floor: Tensor, part: Tensor, size: int) -> _Around:
    pixel = torch.stack([floor, floor + 1]).clamp(0, size - 1)
    return _Around(pixel, 2 * ((floor - pixel) + part), torch.stack([1 - part, part]))


def _ask(said: Tensor, way: Tensor, cell: tuple[float, float], known: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """What neighbours that said (rows, cols, 208) answer to samples so far (rows, cols, 2) from them."""
    *modulations, latent = said.reshape(*said.shape[:-1], 2 * HIDDEN + 1, UNITS).unbind(-2)
    v = torch.cat([latent, way, way.new_tensor(cell).expand_as(way)], -1)
    for (weight, bias), scale, shift in zip(known[:-1], modulations[:HIDDEN], modulations[HIDDEN:], strict=True):
        v = F.relu(F.linear(v, weight, bias) * (1 + scale) + shift)
    return F.linear(v, *known[-1])
