"""Convolutions as products of columns: by plain loops against torch, and by those of this processor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import columns, cpu
from kernels.reference.deform import NeedsGrad
from tests.kernels.test_deform import assert_as_specified, assert_near, built, draw, draw_inputs


class PlainLoops:
    """`kernels.columns.Loops` of an ordinary convolution: every tap reads the grid, and what it is sent goes there."""

    def __init__(self, x: Tensor) -> None:
        """x (N, H, W, C), one pixel of frame around each picture."""
        n, height, width, channels = x.shape
        padded = F.pad(x, (0, 0, 1, 1, 1, 1))
        index = torch.arange(padded[..., 0].numel()).view(padded.shape[:3])
        self.places = torch.stack(
            [index[:, i : i + height, j : j + width].flatten() for i in range(3) for j in range(3)], 1
        )
        self.pixels, self.size = padded.reshape(-1, channels), (n, height, width, channels)

    def read(self, first: int, columns: Tensor) -> None:
        columns.copy_(self.pixels[self.places[first : first + len(columns)]])

    def slopes(
        self, first: int, by_columns: Tensor, columns: Tensor | None, by_offset: Tensor | None, by_mask: Tensor | None
    ) -> None:
        assert by_offset is None and by_mask is None
        if columns is not None:
            self.read(first, columns)

    def send_back(self, first: int, by_columns: Tensor, by_x: Tensor) -> None:
        n, height, width, channels = self.size
        sent = torch.zeros_like(self.pixels)
        places = self.places[first : first + len(by_columns)].flatten()
        sent.index_add_(0, places, by_columns.reshape(-1, channels))
        by_x += sent.view(n, height + 2, width + 2, channels)[:, 1:-1, 1:-1]


@pytest.mark.parametrize("at_once", [1, 5000, 1 << 20])
def test_products_of_columns_are_a_convolution_and_its_gradients_in_bands_of_any_height(at_once: int) -> None:
    x, offset, mask, weight = draw_inputs(2, 5, 4, 7, 9, torch.float64)
    grad = draw(2, 4, 7, 9)
    exact = [tensor.clone().requires_grad_() for tensor in (x, weight)]
    wanted = F.conv2d(exact[0], exact[1], padding=1)
    by_x, by_weight = torch.autograd.grad(wanted, exact, grad)

    pixels = columns.channels_last(x)
    loops = PlainLoops(pixels)
    result = columns.as_in_memory(columns.convolve(loops, pixels, weight, at_once), x)
    assert_near(result, wanted.detach(), torch.float64)
    needed = NeedsGrad(offset=False, mask=False)
    above = columns.channels_last(grad)
    computed = columns.differentiate(loops, above, pixels, (offset, mask), weight, needed, at_once)
    got = columns.as_given(computed, x, offset, mask, weight)
    assert got[1].shape == got[2].shape == (0,)
    assert_near(got[0], by_x, torch.float64)
    assert_near(got[3], by_weight, torch.float64)


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("column_bytes", [1, 1 << 13, 1 << 16])
def test_bands_of_any_height_give_the_whole(
    column_bytes: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "COLUMN_BYTES", column_bytes)
    assert_as_specified(draw_inputs(2, 17, 6, 13, 21, dtype))
