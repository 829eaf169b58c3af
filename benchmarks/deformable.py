"""The modulated deformable convolution beside torch alone and beside a plain convolution of the same size.

320x480 pixels, 64 channels in and out, channels last; offsets are normal with a deviation of one pixel. It makes the
contenders; `benchmarks.kernels` lets them take turns. Torch alone means `grid_sample` at nine places a pixel, times the
mask, then one matrix product, in bands of rows so that the columns stay small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.rounds import Contender
from kernels import cpu, ops

SIZE = (320, 480)
CHANNELS = 64
BAND = 16  # rows
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
OURS = "lutra, as served"
GRID_SAMPLE, CONVOLUTION = "torch grid_sample", "torch conv2d, which deforms nothing"
YARDSTICKS = {"grid_sample": GRID_SAMPLE, "conv2d": CONVOLUTION}

Layer = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def titles() -> dict[str, tuple[str, bool]]:
    """The type of each case, and whether it goes backward too."""
    return {
        f"deformable convolution, {dtype}{', with its gradients' if with_gradients else ''}": (dtype, with_gradients)
        for dtype in DTYPES
        for with_gradients in (False, True)
    }


def contenders(dtype: str, with_gradients: bool, threads: Sequence[int]) -> list[Contender]:
    """Ours with one thread by each path and by the op; all else with each number of threads."""
    inputs, grad = draw_inputs(DTYPES[dtype])

    def work_of(layer: Layer) -> Callable[[], object]:
        return partial(differentiated, layer, inputs, grad) if with_gradients else partial(forward, layer, inputs)

    paths = [] if with_gradients else cpu.paths()  # autograd knows the op alone
    ours = [Contender(f"lutra, {path}", work_of(partial(cpu.deform_conv2d, path=path)), role="ours") for path in paths]
    layers = ((OURS, ops.deform_conv2d, "ours"), (GRID_SAMPLE, by_grid_sample, "peer"))
    rest = (*layers, (CONVOLUTION, convolved, "limit"))
    return [*ours, *(Contender(name, work_of(layer), n, role) for name, layer, role in rest for n in threads)]


def draw_inputs(dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """(x, offset, mask, weight) and the gradient of the result."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    x, grad = (draw(1, CHANNELS, *SIZE).to(dtype, memory_format=torch.channels_last) for _ in range(2))
    offset, mask = draw(1, 18, *SIZE), draw(1, 9, *SIZE).sigmoid()
    return [x, offset, mask, (draw(CHANNELS, CHANNELS, 3, 3) / 24).to(dtype)], grad


def forward(layer: Layer, inputs: Sequence[Tensor]) -> Tensor:
    with torch.no_grad():
        return layer(*inputs)


def differentiated(layer: Layer, inputs: Sequence[Tensor], grad: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients by all that the layer reads."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    return torch.autograd.grad(layer(*leaves), leaves, grad, allow_unused=True)


def convolved(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=1)


def by_grid_sample(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Of one picture; places and readings in float32, columns and product in the type of x."""
    taps, floats = weight.permute(0, 2, 3, 1).flatten(1), x.float()
    height = x.shape[2]
    bands = [
        F.linear(columns(floats, offset, mask, slice(row, min(row + BAND, height))).to(x.dtype), taps)
        for row in range(0, height, BAND)
    ]
    return torch.cat(bands)[None].permute(0, 3, 1, 2)


def columns(x: Tensor, offset: Tensor, mask: Tensor, rows: slice) -> Tensor:
    """(rows, W, 9 C)"""
    _, channels, height, width = x.shape
    tap = torch.arange(9, device=x.device)[:, None, None]
    y = torch.arange(rows.start, rows.stop, device=x.device)[:, None] + (tap // 3 - 1) + offset[0, 0::2, rows]
    z = torch.arange(width, device=x.device) + (tap % 3 - 1) + offset[0, 1::2, rows]
    places = torch.stack([(2 * z + 1) / width - 1, (2 * y + 1) / height - 1], -1).view(1, -1, width, 2)
    read = F.grid_sample(x, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    masked = read.view(channels, 9, -1, width) * mask[0, :, rows]
    return masked.permute(2, 3, 1, 0).flatten(2)
