"""The modulated deformable convolution: the specification against its four corners written out, the compiled kernels
against the specification.

Tolerances, as largest difference over the largest number there is:
    float64    1e-12    both sides compute in float64
    float32    2e-5     sums of up to 9 * 64 products
    bfloat16   2e-2     columns, products and results are each rounded to 8 bits
Offsets are multiples of 1/64, so that a place is the same number in float32 and in float64: on a grid line the slope
jumps, and rounding would pick the side.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kernels import cpu, ops
from kernels.reference import deform as reference

INF, NAN = float("inf"), float("nan")
BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2e-2}
SHAPES = (
    (1, 1, 1, 1, 1),
    (2, 3, 4, 5, 7),
    (1, 64, 64, 19, 33),
    (3, 20, 8, 9, 40),
    (1, 70, 5, 40, 3),
    (1, 33, 2, 2, 97),
)
LUTRA = torch.ops.lutra

built = pytest.mark.skipif(bool(cpu.why_missing()), reason=cpu.why_missing() or "built")


class Inputs(NamedTuple):
    x: Tensor
    offset: Tensor
    mask: Tensor
    weight: Tensor


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def draw_offset(n: int, height: int, width: int, reach: float = 3.0) -> Tensor:
    """Some pixels far, in 64ths; one in five whole, one in five half."""
    offset = (64 * reach * draw(n, 18, height, width)).round() / 64
    offset.view(-1)[::5] = offset.view(-1)[::5].round()
    offset.view(-1)[1::5] = offset.view(-1)[1::5].floor() + 0.5
    return offset


def draw_inputs(n: int, channels: int, out: int, height: int, width: int, dtype: torch.dtype) -> Inputs:
    mask = torch.sigmoid(draw(n, 9, height, width))
    planes = torch.float64 if dtype == torch.float64 else torch.float32
    x, weight = draw(n, channels, height, width).to(dtype), draw(out, channels, 3, 3).to(dtype)
    return Inputs(x, draw_offset(n, height, width).to(planes), mask.to(planes), weight)


def all_meet(height: int, width: int, channels: int) -> Inputs:
    """Inputs all of whose taps read the one pixel (height // 2, width // 2 + 1)."""
    row, column, tap = torch.arange(height)[:, None], torch.arange(width), torch.arange(9)[:, None, None]
    down = height // 2 - (row + tap // 3 - 1)
    right = width // 2 + 1 - (column + tap % 3 - 1)
    shape = (9, height, width)
    offset = torch.stack([down.expand(shape), right.expand(shape)], 1).flatten(0, 1)[None].float()
    mask, weight = torch.ones(1, 9, height, width), torch.ones(1, channels, 3, 3)
    return Inputs(torch.zeros(1, channels, height, width), offset, mask, weight)


def loop_over_corners(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Nothing but the definition, a pixel, a tap and a corner at a time."""
    n, channels, height, width = x.shape
    result = []
    for sample, i, j in product(range(n), range(height), range(width)):
        total = weight.new_zeros(len(weight))
        for tap in range(9):
            y = i + tap // 3 - 1 + offset[sample, 2 * tap, i, j]
            z = j + tap % 3 - 1 + offset[sample, 2 * tap + 1, i, j]
            top, left = int(y.floor()), int(z.floor())
            read = x.new_zeros(channels)
            for row, column in product((top, top + 1), (left, left + 1)):
                if 0 <= row < height and 0 <= column < width:
                    down = y - top if row > top else top + 1 - y
                    right = z - left if column > left else left + 1 - z
                    read = read + down * right * x[sample, :, row, column]
            total = total + mask[sample, tap, i, j] * (weight[:, :, tap // 3, tap % 3] @ read)
        result.append(total)
    return torch.stack(result).view(n, height, width, -1).permute(0, 3, 1, 2)


def assert_near(got: Tensor, wanted: Tensor, dtype: torch.dtype) -> None:
    got, wanted = got.detach(), wanted.detach()
    assert got.shape == wanted.shape and got.isfinite().all()
    if wanted.numel():
        assert (got.double() - wanted).abs().max() <= BOUNDS[dtype] * max(1e-3, float(wanted.abs().max()))


def assert_as_specified(inputs: Inputs, **how: Any) -> None:
    """Values and the four gradients of what is compiled, against the specification in float64."""
    exact = Inputs(*(tensor.double() for tensor in inputs))
    dtype = inputs[0].dtype
    grad = draw(inputs[0].shape[0], len(inputs[3]), *inputs[0].shape[2:]).to(dtype)
    assert_near(cpu.deform_conv2d(*inputs, **how), reference.deform_conv2d(*exact), dtype)
    got = cpu.deform_conv2d_backward(grad, *inputs, **how)
    wanted = reference.deform_conv2d_backward(grad.double(), *exact)
    for name, ours, theirs, given in zip(("x", "offset", "mask", "weight"), got, wanted, inputs, strict=True):
        assert ours.dtype == given.dtype, name
        assert_near(ours, theirs, dtype)


# ---- The specification -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [0.0, 0.3, 2.0, 40.0])
@pytest.mark.parametrize("shape", [(2, 3, 4, 4, 5), (1, 2, 1, 1, 1), (1, 1, 2, 1, 6)])
def test_the_specification_is_the_four_corners_of_every_tap(shape: tuple[int, ...], reach: float) -> None:
    n, channels, out, height, width = shape
    inputs = draw_inputs(n, channels, out, height, width, torch.float64)
    inputs = inputs._replace(offset=draw_offset(n, height, width, reach))
    for tensor in inputs:
        tensor.requires_grad_()
    wanted, got = loop_over_corners(*inputs), ops.deform_conv2d(*inputs)
    assert_near(got, wanted, torch.float64)
    grad = draw(*wanted.shape)
    for ours, theirs in zip(
        torch.autograd.grad(got, inputs, grad),
        torch.autograd.grad(wanted, inputs, grad, materialize_grads=True),
        strict=True,
    ):
        assert_near(ours, theirs, torch.float64)


def test_gradients_are_what_finite_differences_give() -> None:
    x, _, mask, weight = (tensor.requires_grad_() for tensor in draw_inputs(2, 2, 3, 3, 4, torch.float64))
    cells = torch.randint(-2, 3, (2, 18, 3, 4), generator=torch.Generator().manual_seed(0))
    parts = 0.2 + 0.6 * torch.rand(2, 18, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(ops.deform_conv2d, (x, (cells + parts).requires_grad_(), mask, weight))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_without_offsets_and_with_whole_masks_it_is_a_convolution(dtype: torch.dtype, implementation: None) -> None:
    x, offset, mask, weight = draw_inputs(2, 16, 8, 9, 11, dtype)
    got = ops.deform_conv2d(x, torch.zeros_like(offset), torch.ones_like(mask), weight)
    assert_near(got, F.conv2d(x.double(), weight.double(), padding=1), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_offsets_shift_the_picture_and_its_slopes_are_those_to_the_next_pixel(
    dtype: torch.dtype, implementation: None
) -> None:
    ramp = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=dtype)
    x = ramp.expand(1, 1, 3, 5).contiguous()
    weight = torch.zeros(1, 1, 3, 3, dtype=dtype)
    weight[0, 0, 1, 1] = 1
    offset = torch.zeros(1, 18, 3, 5, dtype=dtype)
    offset[:, 9] = 1.0
    offset.requires_grad_()
    result = ops.deform_conv2d(x, offset, torch.ones(1, 9, 3, 5, dtype=dtype), weight)
    assert result[0, 0, 1].tolist() == [2, 4, 8, 16, 0]
    torch.autograd.backward(result.sum())
    assert offset.grad is not None
    assert offset.grad[0, 9, 1].tolist() == [2, 4, 8, -16, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_each_corner_outside_counts_as_zero(dtype: torch.dtype, implementation: None) -> None:
    """One pixel of 1, read along y and along x at places from far outside to far outside."""
    places = [-INF, -1e30, -2, -1, -0.75, -0.5, 0, 0.25, 1, 1.5, 1e9, INF, NAN]
    wanted = [0, 0, 0, 0, 0.25, 0.5, 1, 0.75, 0, 0, 0, 0, 0]
    slopes = [0, 0, 0, 1, 1, 1, -1, -1, 0, 0, 0, 0, 0]
    n = len(places)
    offset = torch.zeros(n, 18, 1, 1, dtype=dtype)
    offset[:, 8, 0, 0] = torch.tensor(places, dtype=torch.float64).to(dtype)
    weight = torch.zeros(1, 1, 3, 3, dtype=dtype)
    weight[0, 0, 1, 1] = 1
    for first in (8, 9):
        turned = torch.zeros_like(offset)
        turned[:, first] = offset[:, 8]
        inputs = Inputs(torch.ones(n, 1, 1, 1, dtype=dtype), turned, torch.ones(n, 9, 1, 1, dtype=dtype), weight)
        for tensor in inputs:
            tensor.requires_grad_()
        result = ops.deform_conv2d(*inputs)
        assert result.flatten().tolist() == wanted
        by_x, by_offset, by_mask, _ = torch.autograd.grad(result.sum(), inputs)
        assert by_x.flatten().tolist() == wanted
        assert by_offset[:, first].flatten().tolist() == slopes
        assert by_mask[:, 4].flatten().tolist() == wanted


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_pixel_that_is_not_a_number_spoils_no_reading_from_outside(dtype: torch.dtype, implementation: None) -> None:
    x = torch.full((1, 20, 3, 4), NAN, dtype=dtype)
    offset = torch.full((1, 18, 3, 4), 50.0, dtype=dtype)
    result = ops.deform_conv2d(x, offset, torch.ones(1, 9, 3, 4, dtype=dtype), torch.ones(2, 20, 3, 3, dtype=dtype))
    assert not result.any()


# ---- What is compiled ------------------------------------------------------------------------------------------------


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", cpu.paths())
def test_values_and_gradients_are_those_of_the_specification(
    path: str, shape: tuple[int, int, int, int, int], dtype: torch.dtype
) -> None:
    assert_as_specified(draw_inputs(*shape, dtype), path=path)


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_offsets_that_are_not_finite_or_huge_read_zero_everywhere(dtype: torch.dtype) -> None:
    inputs = draw_inputs(1, 32, 8, 20, 40, dtype)
    odd = [NAN, INF, -INF, 1e38, -1e38, 2.0**31, -(2.0**31), 2.0**24]
    inputs[1].view(-1)[::3] = torch.tensor(odd).repeat(10**4)[: len(inputs[1].view(-1)[::3])]
    assert_as_specified(inputs)


@built
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_threads_gives_nearly_the_same_and_each_run_exactly(
    dtype: torch.dtype, threads: Callable[[int], None]
) -> None:
    inputs = draw_inputs(2, 48, 16, 20, 30, dtype)
    grad = draw(2, 16, 20, 30).to(dtype)
    for count in (1, 2, 3, 7):
        threads(count)
        assert_as_specified(inputs)
        first, again = (cpu.deform_conv2d_backward(grad, *inputs) for _ in range(2))
        assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


@built
def test_no_update_is_lost_where_all_taps_meet_in_one_pixel(threads: Callable[[int], None]) -> None:
    threads(4)
    by_x, *_ = cpu.deform_conv2d_backward(torch.ones(1, 1, 60, 70), *all_meet(60, 70, 64))
    assert by_x[0, :, 30, 36].tolist() == [9.0 * 60 * 70] * 64
    assert float(by_x.sum()) == 64 * 9.0 * 60 * 70
