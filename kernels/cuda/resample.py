"""Resampling on a CUDA device: plans the launches of `resample.cu`, one for each axis.

It checks no arguments; that is `kernels.ops`. `kernels.reference.resample` specifies what it computes.
"""

from __future__ import annotations

from torch import Tensor

from kernels.cuda import loader
from kernels.cuda.launches import MAX_GRID_Y, blocks
from kernels.reference.resample import Taps, transposed

SOURCE = "resample/resample.cu"
THREADS = 256


def resample(planes: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """planes (C, h, w) float32 -> (C, rows, cols)."""
    count, height, width = planes.shape
    tall = planes.new_empty(count, len(rows.first), width)
    _blend(planes.detach().contiguous(), rows, tall, (count, height, width))
    out = planes.new_empty(count, len(rows.first), len(cols.first))
    _blend(tall, cols, out, (count * len(rows.first), width, 1))
    return out


def resample_backward(grad: Tensor, rows: Taps, cols: Taps, height: int, width: int) -> Tensor:
    """The gradient by the samples (C, rows, cols) -> that by the planes (C, height, width)."""
    return resample(grad, transposed(rows, height), transposed(cols, width))


def _blend(planes: Tensor, taps: Taps, out: Tensor, shape: tuple[int, int, int]) -> None:
    """planes as (outer, pixels, inner) -> out (outer, samples, inner)."""
    outer, pixels, inner = shape
    samples, count = taps.weight.shape
    if out.numel() == 0:
        return
    grid = (blocks(samples * inner, THREADS), min(outer, MAX_GRID_Y))
    first, weight = taps.first.contiguous(), taps.weight.detach().contiguous()
    arguments = (planes, first, weight, out, outer, pixels, samples, count, inner)
    loader.launch(SOURCE, "resample_axis", grid, THREADS, *arguments, device=planes.device)
