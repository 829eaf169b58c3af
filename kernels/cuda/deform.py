"""The modulated deformable convolution on a CUDA device: plans the launches of `deform.cu`, between which torch
multiplies matrices.

It checks no arguments; that is `kernels.ops`. `kernels.reference.deform` specifies what it computes; columns of
bfloat16 pictures are rounded to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels import columns as banded
from kernels.cuda import loader
from kernels.cuda.launches import blocks, check_order_may_vary
from kernels.reference import deform as reference
from kernels.reference.deform import ALL, TAPS, NeedsGrad

SOURCE = "deform/deform.cu"
NAMES = {torch.float32: "f32", torch.float64: "f64", torch.bfloat16: "bf16"}
PLACES, THREADS = 8, 256  # a block
COLUMN_BYTES = 1 << 27  # held at a time


@dataclass(frozen=True)
class _Loops:
    x: Tensor  # (N, H, W, C)
    offset: Tensor
    mask: Tensor

    def read(self, first: int, columns: Tensor) -> None:
        self._run("columns", first, columns, self.x, self.offset, self.mask, columns)

    def slopes(
        self, first: int, by_columns: Tensor, columns: Tensor | None, by_offset: Tensor | None, by_mask: Tensor | None
    ) -> None:
        if columns is not None:
            self.read(first, columns)
        if by_offset is not None or by_mask is not None:
            wanted = (0 if tensor is None else tensor for tensor in (by_offset, by_mask))
            self._run("gradients", first, by_columns, self.x, self.offset, self.mask, by_columns, *wanted)

    def send_back(self, first: int, by_columns: Tensor, by_x: Tensor) -> None:
        self._run("scatter", first, by_columns, self.offset, self.mask, by_columns, by_x)

    def _run(self, name: str, first: int, band: Tensor, *arguments: loader.Argument) -> None:
        _, height, width, channels = self.x.shape
        places = len(band) * TAPS
        of = NAMES[self.offset.dtype if name == "scatter" else self.x.dtype]
        kernel, grid = f"deform_{name}_{of}", (blocks(places, PLACES),)
        sizes = height, width, channels, first, places
        loader.launch(SOURCE, kernel, grid, THREADS, *arguments, *sizes, device=self.x.device)


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """x (N, C, H, W), offset (N, 18, H, W), mask (N, 9, H, W), weight (O, C, 3, 3) -> (N, O, H, W)."""
    if x.numel() == 0 or weight.numel() == 0:
        return reference.deform_conv2d(x, offset, mask, weight)
    pixels = banded.channels_last(x)
    loops = _Loops(pixels, *banded.plain_planes(offset, mask, x))
    return banded.as_in_memory(banded.convolve(loops, pixels, weight, COLUMN_BYTES), x)


def deform_conv2d_backward(
    grad: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, needed: NeedsGrad = ALL
) -> banded.Gradients:
    """Gradient of what `deform_conv2d` gave -> those by x, offset, mask and weight; empty where not needed.

    Raises RuntimeError where torch must be deterministic: the gradient by x adds up in any order.
    """
    if x.numel() == 0 or weight.numel() == 0:
        return reference.deform_conv2d_backward(grad, x, offset, mask, weight, needed)
    if needed.x:
        check_order_may_vary("deform_conv2d_backward adds up the gradient of the picture")
    pixels, planes = banded.channels_last(x), banded.plain_planes(offset, mask, x)
    above, loops = banded.channels_last(grad), _Loops(pixels, *planes)
    computed = banded.differentiate(loops, above, pixels, planes, weight, needed, COLUMN_BYTES)
    return banded.as_given(computed, x, offset, mask, weight)
