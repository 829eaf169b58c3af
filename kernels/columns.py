"""The modulated deformable convolution as matrix products of columns, a band of pixels at a time.

A column is what the nine taps of one pixel read: (9, C) values. What reads columns, and what takes their gradients
back, is an argument (`Loops`): `kernels.cpu` and `kernels.cuda.deform` each have one. The columns of a whole picture
are nowhere held. Pictures have their channels last; pixels are counted through the batch, row by row. It checks no
arguments; that is `kernels.ops`. `kernels.reference.deform` specifies what is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from kernels.reference.deform import TAPS, NeedsGrad, empty_pixels, is_channels_last

Gradients = tuple[Tensor, Tensor, Tensor, Tensor]  # by x, offset, mask and weight
Computed = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]  # the same as computed; None: not needed


class Loops(Protocol):
    """What a device does with one batch of pictures, offsets and masks, for the pixels from `first` on."""

    def read(self, first: int, columns: Tensor) -> None:
        """Writes columns (P, 9, C), masked."""

    def slopes(
        self, first: int, by_columns: Tensor, columns: Tensor | None, by_offset: Tensor | None, by_mask: Tensor | None
    ) -> None:
        """From the gradient by the columns (P, 9, C), of the planes' type: writes those by offset and mask, and the
        columns once more."""

    def send_back(self, first: int, by_columns: Tensor, by_x: Tensor) -> None:
        """Adds to by_x (N, H, W, C) what the gradient by the columns sends to the pixels they were read from."""


def convolve(loops: Loops, x: Tensor, weight: Tensor, at_once: int) -> Tensor:
    """x (N, H, W, C), weight (O, C, 3, 3) -> (N, H, W, O); `at_once` bytes of columns are held."""
    taps = taps_last(weight).t()
    columns, out = _room(x, at_once), x.new_empty(*x.shape[:3], weight.shape[0])
    for first, own, to in _bands(columns, out.flatten(0, 2)):
        loops.read(first, own)
        torch.mm(own.flatten(1), taps, out=to)
    return out


def differentiate(
    loops: Loops,
    grad: Tensor,
    x: Tensor,
    planes: tuple[Tensor, Tensor],
    weight: Tensor,
    needed: NeedsGrad,
    at_once: int,
) -> Computed:
    """grad (N, H, W, O), x (N, H, W, C), planes offset and mask as computed with -> the gradients by x (N, H, W, C),
    offset, mask and weight (O, 9 C), in the type of the planes; None where not needed."""
    taps = taps_last(weight)
    by_x, by_offset, by_mask, by_taps = gradients = room_for_gradients(x, planes, taps, needed)
    columns = _room(x, at_once)
    by_columns = planes[0].new_empty(columns.shape)
    for first, own, above in _bands(by_columns, grad.flatten(0, 2)):
        own.copy_(torch.mm(above, taps).view(own.shape))
        again = columns[: len(own)]
        loops.slopes(first, own, again if needed.weight else None, by_offset, by_mask)
        if by_x is not None:
            loops.send_back(first, own, by_x)
        if by_taps is not None:
            by_taps += torch.mm(above.t(), again.flatten(1))
    return gradients


def room_for_gradients(x: Tensor, planes: tuple[Tensor, Tensor], taps: Tensor, needed: NeedsGrad) -> Computed:
    """Zeros by x (N, H, W, C) and taps (O, 9 C), which are summed up; memory as it is by offset and mask."""
    offset, mask = planes
    return (
        offset.new_zeros(x.shape) if needed.x else None,
        torch.empty_like(offset) if needed.offset else None,
        torch.empty_like(mask) if needed.mask else None,
        offset.new_zeros(taps.shape) if needed.weight else None,
    )


def channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C) in plain memory; a view where it is that already."""
    return x.detach().permute(0, 2, 3, 1).contiguous()


def as_in_memory(pixels: Tensor, x: Tensor) -> Tensor:
    """(N, H, W, C) -> (N, C, H, W), in the type and the order of x; the same memory where it is in both already."""
    planes = pixels.permute(0, 3, 1, 2)
    if planes.dtype == x.dtype and is_channels_last(x):
        return planes
    return empty_pixels(x, pixels.shape[3]).copy_(planes)


def plain_planes(offset: Tensor, mask: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both as they are computed with: float64 for a picture of it, else float32."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return offset.detach().to(dtype).contiguous(), mask.detach().to(dtype).contiguous()


def as_given(computed: Computed, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Gradients:
    """What `differentiate` returns, in the types, shapes and order in memory of what was given; empty for None."""
    by_x, by_offset, by_mask, by_taps = computed
    return (
        x.new_empty(0) if by_x is None else as_in_memory(by_x, x),
        offset.new_empty(0) if by_offset is None else by_offset.to(offset.dtype),
        mask.new_empty(0) if by_mask is None else by_mask.to(mask.dtype),
        weight.new_empty(0) if by_taps is None else _taps_first(by_taps, weight),
    )


def taps_last(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) -> (O, 9 C), as columns lie, in plain memory."""
    return weight.detach().permute(0, 2, 3, 1).reshape(len(weight), -1).contiguous()


def _taps_first(taps: Tensor, weight: Tensor) -> Tensor:
    """The way back, in the type of the weight."""
    out, channels, height, width = weight.shape
    return taps.view(out, height, width, channels).permute(0, 3, 1, 2).to(weight.dtype).contiguous()


def _room(x: Tensor, at_once: int) -> Tensor:
    """For the columns of as many pixels as `at_once` bytes hold, or of all: (P, 9, C)."""
    n, height, width, channels = x.shape
    most = max(16, at_once // (TAPS * channels * x.element_size()))
    return x.new_empty(min(n * height * width, most), TAPS, channels)


def _bands(columns: Tensor, pixels: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """(the first pixel, room for their columns, the pixels) of all bands of pixels (P, channels)."""
    for first in range(0, len(pixels), len(columns)):
        own = pixels[first : first + len(columns)]
        yield first, columns[: len(own)], own
