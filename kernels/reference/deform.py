"""The specification of the modulated deformable 3x3 convolution, in plain PyTorch; serves where nothing faster is.

At every pixel (y, x) the nine taps of the kernel, in row-major order, read the picture not on the grid but at
(y + i - 1 + dy, x + j - 1 + dx), bilinearly; each reading is multiplied by its mask, then weighted and summed as in a
convolution with stride 1, padding 1, dilation 1 and no bias. Every corner of the four that lies outside the picture
counts as zero; a reading at a place that is not finite is zero.

Gradients by the offsets are the slopes of the bilinear cell that was read; on a grid line, that of the cell below or to
the right. Readings that are zero for being outside have none. Half precision is computed in float32 and rounded once.

It does not check its arguments; that is `kernels.ops`.
Source: Zhu et al., "Deformable ConvNets v2: More Deformable, Better Results", CVPR 2019, equation 1; offsets are
interleaved (dy, dx) per tap, as published weights have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

TAPS = 9
BAND_VALUES = 1 << 20  # of the columns in flight: they stay out of the way of a picture


class NeedsGrad(NamedTuple):
    """Which gradients of the convolution are computed."""

    x: bool = True
    offset: bool = True
    mask: bool = True
    weight: bool = True


ALL = NeedsGrad()


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """x (N, C, H, W), offset (N, 18, H, W), mask (N, 9, H, W), weight (O, C, 3, 3) -> (N, O, H, W), as x in memory."""
    out = empty_pixels(x, len(weight)).zero_()
    if x.numel() == 0 or weight.numel() == 0:
        return out
    taps = _taps_first(weight)
    for n in range(len(x)):
        cells = _Cells.of(x[n])
        for rows in _bands(x):
            read = cells.read(*_places(offset[n, :, rows], rows, cells))
            columns = read.values() * _by_pixel(mask[n, :, rows], cells.dtype)[..., None]
            out[n, :, rows] = torch.einsum("tpc,tco->op", columns, taps).view(len(weight), -1, x.shape[3])
    return out


def deform_conv2d_backward(
    grad: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, needed: NeedsGrad = ALL
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradient of what `deform_conv2d` gave -> gradients by x, offset, mask and weight; empty where not needed."""
    by_x = empty_pixels(x, x.shape[1]).zero_() if needed.x else x.new_empty(0)
    by_offset = offset.new_zeros(offset.shape if needed.offset else 0)
    by_mask = mask.new_zeros(mask.shape if needed.mask else 0)
    taps = _taps_first(weight)
    by_taps = torch.zeros_like(taps)
    for n in range(len(x) if x.numel() and weight.numel() else 0):
        cells = _Cells.of(x[n])
        by_cells = torch.zeros_like(cells.table)
        for rows in _bands(x):
            read = cells.read(*_places(offset[n, :, rows], rows, cells))
            values, strength = read.values(), _by_pixel(mask[n, :, rows], cells.dtype)[..., None]
            above = grad[n, :, rows].flatten(1).to(cells.dtype)
            by_column = torch.einsum("op,tco->tpc", above, taps)
            by_value = by_column * strength
            size = (-1, rows.stop - rows.start, x.shape[3])
            if needed.weight:
                by_taps += torch.einsum("tpc,op->tco", values * strength, above)
            if needed.mask:
                by_mask[n, :, rows] = (by_column * values).sum(-1).view(size)
            if needed.offset:
                slopes = [(by_value * slope).sum(-1) for slope in read.slopes()]
                by_offset[n, :, rows] = torch.stack(slopes, 1).view(size)
            if needed.x:
                read.scatter(by_value, by_cells)
        if needed.x:
            by_x[n] = cells.unpad(by_cells)
    by_weight = by_taps.view(3, 3, *by_taps.shape[1:]).permute(3, 2, 0, 1).to(weight.dtype)
    return by_x, by_offset, by_mask, by_weight.contiguous() if needed.weight else weight.new_empty(0)


def empty_pixels(x: Tensor, channels: int) -> Tensor:
    """(N, channels, H, W), uninitialised, in memory as x is: channels last, else planes."""
    size = (x.shape[0], channels, *x.shape[2:])
    kept = torch.channels_last if is_channels_last(x) else torch.contiguous_format
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=kept)


def is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


@dataclass(frozen=True)
class _Cells:
    """One picture as rows of channels, with a frame of zeros: one pixel above and left, two below and right."""

    table: Tensor  # ((H + 3) (W + 3), C)
    height: int
    width: int

    @classmethod
    def of(cls, x: Tensor) -> _Cells:
        channels, height, width = x.shape
        table = x.new_zeros(height + 3, width + 3, channels, dtype=_computed_in(x.dtype))
        table[1:-2, 1:-2] = x.permute(1, 2, 0)
        return cls(table.view(-1, channels), height, width)

    @property
    def dtype(self) -> torch.dtype:
        return self.table.dtype

    def unpad(self, table: Tensor) -> Tensor:
        return table.view(self.height + 3, self.width + 3, -1)[1:-2, 1:-2].permute(2, 0, 1)

    def read(self, y: Tensor, x: Tensor) -> _Reading:
        """Places (9, P) -> what lies around them; a place outside is moved to the last four zeros of the frame."""
        inside = (y >= -1) & (y < self.height) & (x >= -1) & (x < self.width)  # NaN is not
        y, x = torch.where(inside, y, self.height), torch.where(inside, x, self.width)
        top, left = y.floor(), x.floor()
        first = ((top.long() + 1) * (self.width + 3) + left.long() + 1).flatten()
        below = self.width + 3
        corners = (first, first + 1, first + below, first + below + 1)
        return _Reading(self.table, corners, (y - top)[..., None], (x - left)[..., None])


@dataclass(frozen=True)
class _Reading:
    """Bilinear readings at (9, P) places: four corners each, and how far from the first towards the last."""

    table: Tensor
    corners: tuple[Tensor, Tensor, Tensor, Tensor]  # top left, top right, bottom left, bottom right: rows of the table
    down: Tensor  # (9, P, 1)
    right: Tensor

    def _around(self) -> list[Tensor]:
        shape = (*self.down.shape[:2], -1)
        return [self.table.index_select(0, corner).view(shape) for corner in self.corners]

    def _weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        up, left = 1 - self.down, 1 - self.right
        return up * left, up * self.right, self.down * left, self.down * self.right

    def values(self) -> Tensor:
        """(9, P, C)"""
        first, second, third, fourth = (a * w for a, w in zip(self._around(), self._weights(), strict=True))
        return first + second + third + fourth

    def slopes(self) -> tuple[Tensor, Tensor]:
        """By y and by x, (9, P, C) each."""
        first, second, third, fourth = self._around()
        by_y = (third - first) * (1 - self.right) + (fourth - second) * self.right
        by_x = (second - first) * (1 - self.down) + (fourth - third) * self.down
        return by_y, by_x

    def scatter(self, by_value: Tensor, by_table: Tensor) -> None:
        for corner, weight in zip(self.corners, self._weights(), strict=True):
            by_table.index_add_(0, corner, (by_value * weight).flatten(0, 1))


def _places(offset: Tensor, rows: slice, cells: _Cells) -> tuple[Tensor, Tensor]:
    """Offsets (18, rows, W) -> y and x, (9, rows * W) each."""
    ys = torch.arange(rows.start, rows.stop, device=offset.device)[:, None]
    xs = torch.arange(cells.width, device=offset.device)
    tap = torch.arange(TAPS, device=offset.device)[:, None, None]
    y = ys + (tap // 3 - 1) + offset[0::2].to(cells.dtype)
    x = xs + (tap % 3 - 1) + offset[1::2].to(cells.dtype)
    return y.flatten(1), x.flatten(1)


def _bands(x: Tensor) -> Iterator[slice]:
    """Rows of the picture, a few at a time."""
    _, channels, height, width = x.shape
    rows = max(1, BAND_VALUES // (TAPS * channels * width))
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def _taps_first(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) -> (9, C, O)"""
    return weight.flatten(2).permute(2, 1, 0).to(_computed_in(weight.dtype))


def _by_pixel(mask: Tensor, dtype: torch.dtype) -> Tensor:
    return mask.flatten(1).to(dtype)


def _computed_in(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32
