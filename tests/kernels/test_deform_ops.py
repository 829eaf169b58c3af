"""The ops of the deformable convolution, by the compiled kernels and by the reference; what the extension refuses."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch

from kernels import cpu, ops
from tests.kernels.test_deform import assert_near, built, draw, draw_inputs

LUTRA = torch.ops.lutra


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_batch_equals_its_pictures_one_by_one(dtype: torch.dtype, implementation: None) -> None:
    x, offset, mask, weight = draw_inputs(3, 8, 4, 9, 13, dtype)
    whole = ops.deform_conv2d(x, offset, mask, weight)
    single = [ops.deform_conv2d(x[k : k + 1], offset[k : k + 1], mask[k : k + 1], weight) for k in range(3)]
    assert_near(whole, torch.cat(single).double(), dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_memory_comes_back_in_the_order_in_which_it_was_given(dtype: torch.dtype, implementation: None) -> None:
    planes, offset, mask, weight = draw_inputs(2, 8, 4, 9, 13, dtype)
    last = planes.to(memory_format=torch.channels_last)
    result = [ops.deform_conv2d(x, offset, mask, weight) for x in (planes, last)]
    assert torch.equal(*result)
    assert result[0].is_contiguous() and result[1].is_contiguous(memory_format=torch.channels_last)
    by_x = [
        LUTRA.deform_conv2d_backward(y, x, offset, mask, weight)[0] for x, y in zip((planes, last), result, strict=True)
    ]
    assert torch.equal(*by_x)
    assert by_x[0].is_contiguous() and by_x[1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_strides_change_nothing(dtype: torch.dtype, implementation: None) -> None:
    odd = [tensor.transpose(2, 3) for tensor in draw_inputs(2, 6, 6, 8, 8, dtype)]
    plain = [tensor.contiguous() for tensor in odd]
    assert_near(ops.deform_conv2d(*odd), ops.deform_conv2d(*plain).double(), dtype)
    grad = torch.ones(1, 1, 1, 1, dtype=dtype).expand(2, 6, 8, 8)
    ours = LUTRA.deform_conv2d_backward(grad, *odd)
    for got, wanted in zip(ours, LUTRA.deform_conv2d_backward(grad.contiguous(), *plain), strict=True):
        assert_near(got, wanted.double(), dtype)


@pytest.mark.parametrize("wanted", [*product((True, False), repeat=4)])
def test_a_gradient_that_is_not_wanted_is_an_empty_one(wanted: tuple[bool, ...], implementation: None) -> None:
    inputs = draw_inputs(1, 5, 3, 4, 6, torch.float32)
    grad = draw(1, 3, 4, 6).float()
    whole = LUTRA.deform_conv2d_backward(grad, *inputs)
    for got, full, is_needed in zip(LUTRA.deform_conv2d_backward(grad, *inputs, *wanted), whole, wanted, strict=True):
        assert torch.equal(got, full) if is_needed else got.shape == (0,)


@pytest.mark.parametrize("shape", [(0, 3, 2, 4, 5), (2, 3, 2, 0, 5), (2, 3, 2, 4, 0), (2, 3, 0, 4, 5), (2, 0, 3, 4, 5)])
def test_what_is_empty_gives_zeros(shape: tuple[int, int, int, int, int], implementation: None) -> None:
    inputs = draw_inputs(*shape, torch.float32)
    for tensor in inputs:
        tensor.requires_grad_()
    result = ops.deform_conv2d(*inputs)
    assert result.shape == (shape[0], shape[2], *shape[3:]) and not result.any()
    for tensor, by in zip(inputs, torch.autograd.grad(result.sum(), inputs), strict=True):
        assert by.shape == tensor.shape and not by.any()


@pytest.mark.parametrize("half_offsets", [True, False])
def test_half_precision_takes_offsets_and_masks_of_either_type(half_offsets: bool, implementation: None) -> None:
    x, offset, mask, weight = draw_inputs(1, 16, 8, 9, 11, torch.bfloat16)
    if half_offsets:
        offset, mask = offset.bfloat16(), mask.bfloat16()
    inputs = [x, offset, mask, weight]
    for tensor in inputs:
        tensor.requires_grad_()
    result = ops.deform_conv2d(*inputs)
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    wanted = ops.deform_conv2d(*exact)
    assert_near(result, wanted, torch.bfloat16)
    ours = torch.autograd.grad(result.sum(), inputs)
    for tensor, got, by in zip(inputs, ours, torch.autograd.grad(wanted.sum(), exact), strict=True):
        assert got.dtype == tensor.dtype
        assert_near(got, by, torch.bfloat16)


@pytest.mark.parametrize(("dtype", "last"), [(torch.float32, True), (torch.bfloat16, False)])
def test_it_is_an_op_that_torch_can_trace(last: bool, dtype: torch.dtype, implementation: None) -> None:
    inputs = draw_inputs(2, 3, 2, 4, 5, dtype)
    if last:
        inputs = inputs._replace(x=inputs.x.to(memory_format=torch.channels_last))
    torch.library.opcheck(LUTRA.deform_conv2d, tuple(tensor.requires_grad_() for tensor in inputs))
    plain = [tensor.detach() for tensor in inputs]
    grad = draw(2, 2, 4, 5).to(dtype)
    for wanted in ((), (False, True, False, True)):
        torch.library.opcheck(LUTRA.deform_conv2d_backward, (grad, *plain, *wanted))


def replaced(arguments: tuple[Any, ...], place: int, instead: object) -> tuple[Any, ...]:
    return *arguments[:place], instead, *arguments[place + 1 :]


@built
def test_the_extension_refuses_arrays_that_do_not_fit_each_other() -> None:
    from kernels import _cpu as extension

    x, offset, mask = torch.zeros(2, 4, 5, 8), torch.zeros(2, 18, 4, 5), torch.zeros(2, 9, 4, 5)
    columns = torch.zeros(40, 9, 8)
    good: tuple[Any, ...] = (x, offset, mask, columns, 0, 1, "auto")
    extension.deform_columns(*good)
    for place, instead, message in (
        (1, mask, "offset or mask"),
        (2, torch.zeros(2, 9, 5, 4), "offset or mask"),
        (3, torch.zeros(40, 9, 7), "not those of the picture"),
        (3, torch.zeros(41, 9, 8), "no such pixels"),
        (4, 1, "no such pixels"),
        (6, "sse9", "wanted auto, avx512, avx2 or portable"),
    ):
        with pytest.raises(ValueError, match=message):
            extension.deform_columns(*replaced(good, place, instead))
    with pytest.raises(ValueError, match="empty or too large"):
        extension.deform_columns(x[:0], offset[:0], mask[:0], columns[:0], 0, 1, "auto")
    with pytest.raises(TypeError):
        extension.deform_columns(x, offset, mask, columns.bfloat16().view(torch.int16), 0, 1, "auto")
    with pytest.raises(TypeError):
        extension.deform_scatter(x, offset, mask, columns.double(), x.clone(), 0, 1, "auto")
    with pytest.raises(ValueError, match="does not fit the picture"):
        extension.deform_scatter(x, offset, mask, columns, torch.zeros(2, 4, 5, 9), 0, 1, "auto")
    with pytest.raises(ValueError, match="not those of the picture"):
        extension.deform_gradients(x, offset, mask, columns, columns[1:], None, None, 0, 1, "auto")
    with pytest.raises(ValueError, match="offset or mask"):
        extension.deform_gradients(x, offset, mask, columns, None, mask.clone(), None, 0, 1, "auto")


@pytest.mark.skipif("avx512" not in cpu.paths(), reason="this processor has no AVX-512, or nothing is built")
def test_the_whole_convolution_refuses_arrays_that_do_not_fit_each_other() -> None:
    from kernels import _cpu as extension

    x, offset, mask = torch.zeros(2, 4, 5, 8), torch.zeros(2, 18, 4, 5), torch.zeros(2, 9, 4, 5)
    grad, taps = torch.zeros(2, 4, 5, 6), torch.zeros(6, 72)
    forward: tuple[Any, ...] = (x, offset, mask, taps.t().contiguous(), grad, 1, "auto")
    results = x.clone(), offset.clone(), mask.clone(), taps.clone()
    backward: tuple[Any, ...] = (grad, x, offset, mask, taps, *results, 1, "auto")
    extension.deform_convolve(*forward)
    extension.deform_differentiate(*backward)
    for place, instead in ((1, mask), (2, offset), (3, taps), (4, grad[:1]), (4, grad[..., :0]), (6, "sse9")):
        with pytest.raises(ValueError, match=r"not belong|not fit|wanted auto"):
            extension.deform_convolve(*replaced(forward, place, instead))
    wrong = (grad[:1], x[:1], mask, offset, forward[3], x[:1], mask, offset, forward[3])
    for place, instead in enumerate(wrong):
        with pytest.raises(ValueError, match=r"not belong|not fit"):
            extension.deform_differentiate(*replaced(backward, place, instead))
    bits, odd = x.bfloat16().view(torch.int16)[..., :7].contiguous(), torch.zeros(63, 6, dtype=torch.int16)
    with pytest.raises(ValueError, match="no odd number of channels"):
        extension.deform_convolve(bits, offset, mask, odd, grad.bfloat16().view(torch.int16), 1, "auto")
