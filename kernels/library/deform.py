"""The ops `deform_conv2d` and `deform_conv2d_backward`: the modulated deformable convolution and its gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.cuda import deform as on_cuda
from kernels.library.checks import any_of, check_storage, shape_of
from kernels.library.definition import define
from kernels.reference import deform as reference
from kernels.reference.deform import NeedsGrad

FEATURES = (torch.float32, torch.float64, torch.bfloat16)


def deform_conv2d(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Modulated deformable 3x3 convolution: x (N, C, H, W), weight (O, C, 3, 3) -> (N, O, H, W), no bias, in memory
    (planes or channels last) as x is. Stride, padding, dilation and the number of deformable groups are 1.

    offset (N, 18, H, W), in pixels, interleaved (dy, dx) for each tap of the kernel in row-major order; mask
    (N, 9, H, W), one factor a tap, used as it is. x and weight both float32, float64 or bfloat16, offset and mask of
    that type or float32; places are computed in float32 or better. Corners outside the picture count as zero, and so
    does a reading whose place is not finite. Differentiable once in all four, in reverse mode. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.deform_conv2d(x, offset, mask, weight)
    return out


def _check(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> None:
    if x.dim() != 4:
        raise ValueError(f"x has shape {shape_of(x)}, wanted (N, C, H, W)")
    if weight.dim() != 4 or weight.shape[1:] != (x.shape[1], 3, 3):
        raise ValueError(f"weight has shape {shape_of(weight)}, wanted (O, {x.shape[1]}, 3, 3)")
    if x.dtype not in FEATURES or weight.dtype != x.dtype:
        raise ValueError(f"x is {x.dtype} and weight is {weight.dtype}, wanted one of {any_of(FEATURES)} for both")
    for name, tensor, planes in (("offset", offset, 18), ("mask", mask, 9)):
        wanted = (x.shape[0], planes, *x.shape[2:])
        if tensor.shape != wanted:
            raise ValueError(f"{name} has shape {shape_of(tensor)}, wanted {tuple(wanted)}")
        if tensor.dtype not in (x.dtype, torch.float32):
            raise ValueError(f"{name} is {tensor.dtype}, wanted {x.dtype} as x, or torch.float32")
    check_storage(x=x, offset=offset, mask=mask, weight=weight)


def grouped(
    grad: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, *needed: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, NeedsGrad]:
    return grad, x, offset, mask, weight, NeedsGrad(*needed)


def _check_backward(grad: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, needed: NeedsGrad) -> None:
    _check(x, offset, mask, weight)
    shape = (x.shape[0], weight.shape[0], *x.shape[2:])
    if grad.shape != shape or grad.dtype != x.dtype:
        raise ValueError(f"grad is {shape_of(grad)} of {grad.dtype}, wanted {shape} of {x.dtype}")
    check_storage(x=x, grad=grad)


def _empty(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    return reference.empty_pixels(x, weight.shape[0])


def _empty_gradients(
    grad: Tensor, x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, needed: NeedsGrad
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        reference.empty_pixels(x, x.shape[1]) if needed.x else x.new_empty(0),
        offset.new_empty(offset.shape if needed.offset else 0),
        mask.new_empty(mask.shape if needed.mask else 0),
        weight.new_empty(weight.shape if needed.weight else 0),
    )


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad
    gradients = torch.ops.lutra.deform_conv2d_backward(grad, *ctx.saved_tensors, *needed)
    return tuple(gradient if is_needed else None for gradient, is_needed in zip(gradients, needed, strict=True))


define(
    "deform_conv2d(Tensor x, Tensor offset, Tensor mask, Tensor weight) -> Tensor",
    reference.deform_conv2d,
    _check,
    _empty,
    on_cuda=on_cuda.deform_conv2d,
    backward=_backward,
)
define(
    "deform_conv2d_backward(Tensor grad, Tensor x, Tensor offset, Tensor mask, Tensor weight, bool for_x=True,"
    " bool for_offset=True, bool for_mask=True, bool for_weight=True) -> (Tensor, Tensor, Tensor, Tensor)",
    reference.deform_conv2d_backward,
    _check_backward,
    _empty_gradients,
    on_cuda=on_cuda.deform_conv2d_backward,
    grouped=grouped,
)
