"""The deformable convolution by the CUDA kernels against the specification: on a processor by `cuda_on_host`, and the
same checks on a device (-m cuda).

Pictures and tolerances are those of `test_deform`.
"""

from __future__ import annotations

from itertools import product

import pytest
import torch

from kernels.cuda import deform
from kernels.reference import deform as deform_reference
from kernels.reference.deform import NeedsGrad
from tests.kernels import test_deform
from tests.kernels.test_deform import Inputs

NAN, INF = float("nan"), float("inf")


def on(device: torch.device, inputs: Inputs) -> Inputs:
    return Inputs(*(tensor.to(device) for tensor in inputs))


def assert_convolves_as_specified(inputs: Inputs, device: torch.device) -> None:
    """Values and the four gradients, against the specification in float64."""
    exact, given = Inputs(*(tensor.double() for tensor in inputs)), on(device, inputs)
    dtype = inputs[0].dtype
    grad = test_deform.draw(inputs[0].shape[0], len(inputs[3]), *inputs[0].shape[2:]).to(dtype)
    result = (deform.deform_conv2d(*given), *deform.deform_conv2d_backward(grad.to(device), *given))
    wanted = (
        deform_reference.deform_conv2d(*exact),
        *deform_reference.deform_conv2d_backward(grad.double(), *exact),
    )
    for got, by, like in zip(result, wanted, (inputs[0], *inputs), strict=True):
        assert got.dtype == like.dtype
        test_deform.assert_near(got.cpu(), by, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", test_deform.SHAPES)
def test_the_deformable_convolution_and_its_gradients_are_those_specified(
    device: torch.device, shape: tuple[int, int, int, int, int], dtype: torch.dtype
) -> None:
    assert_convolves_as_specified(test_deform.draw_inputs(*shape, dtype), device)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_offsets_that_are_not_finite_or_huge_read_zero(device: torch.device, dtype: torch.dtype) -> None:
    inputs = test_deform.draw_inputs(1, 5, 4, 9, 10, dtype)
    odd = torch.tensor([NAN, INF, -INF, 1e38, -1e38, 2.0**31, -(2.0**31), 2.0**24])
    spoilt = inputs[1].view(-1)[::3]
    spoilt.copy_(odd.repeat(1 + len(spoilt) // len(odd))[: len(spoilt)])
    assert_convolves_as_specified(inputs, device)


@pytest.mark.parametrize("column_bytes", [1, 1 << 13])
def test_bands_of_any_height_give_the_whole(
    device: torch.device, column_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deform, "COLUMN_BYTES", column_bytes)
    assert_convolves_as_specified(test_deform.draw_inputs(2, 17, 6, 13, 11, torch.float32), device)


def test_no_addition_to_the_picture_is_lost_where_all_taps_meet(device: torch.device) -> None:
    inputs = on(device, test_deform.all_meet(30, 40, 33))
    by_x, *_ = deform.deform_conv2d_backward(torch.ones(1, 1, 30, 40, device=device), *inputs)
    assert by_x[0, :, 15, 21].tolist() == [9.0 * 30 * 40] * 33
    assert float(by_x.sum()) == 33 * 9.0 * 30 * 40


@pytest.mark.parametrize("needed", [*product((True, False), repeat=4)])
def test_only_the_needed_gradients_of_a_convolution_are_made(
    device: torch.device, needed: tuple[bool, bool, bool, bool]
) -> None:
    inputs = on(device, test_deform.draw_inputs(1, 5, 3, 4, 6, torch.float64))
    grad = torch.ones(1, 3, 4, 6, dtype=torch.float64, device=device)
    whole = deform.deform_conv2d_backward(grad, *inputs)
    result = deform.deform_conv2d_backward(grad, *inputs, NeedsGrad(*needed))
    for got, full, is_needed in zip(result, whole, needed, strict=True):
        if is_needed:
            test_deform.assert_near(got, full, torch.float64)
        else:
            assert got.shape == (0,)


def test_a_convolution_comes_back_in_the_order_in_memory_of_its_picture(device: torch.device) -> None:
    x, offset, mask, weight = on(device, test_deform.draw_inputs(2, 8, 4, 9, 13, torch.float32))
    for kept in (torch.contiguous_format, torch.channels_last):
        ordered = x.to(memory_format=kept)
        result = deform.deform_conv2d(ordered, offset, mask, weight)
        by_x, *_ = deform.deform_conv2d_backward(result, ordered, offset, mask, weight)
        assert result.is_contiguous(memory_format=kept) and by_x.is_contiguous(memory_format=kept)


@pytest.mark.parametrize("shape", [(0, 3, 2, 4, 5), (2, 3, 2, 0, 5), (2, 3, 0, 4, 5)])
def test_empty_convolutions_give_zeros(device: torch.device, shape: tuple[int, int, int, int, int]) -> None:
    inputs = on(device, test_deform.draw_inputs(*shape, torch.float32))
    result = deform.deform_conv2d(*inputs)
    assert result.shape == (shape[0], shape[2], *shape[3:])
    for tensor, by in zip(inputs, deform.deform_conv2d_backward(result, *inputs), strict=True):
        assert by.shape == tensor.shape and not by.any()


def test_where_torch_must_be_deterministic_the_gradient_by_the_picture_is_refused(device: torch.device) -> None:
    inputs = on(device, test_deform.draw_inputs(1, 5, 3, 4, 6, torch.float32))
    grad = torch.ones(1, 3, 4, 6, device=device)
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="gradient of the picture in an order that varies from run to run"):
            deform.deform_conv2d_backward(grad, *inputs)
    finally:
        torch.use_deterministic_algorithms(False)
