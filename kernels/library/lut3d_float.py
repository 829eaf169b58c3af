"""The ops `lut3d` and `lut3d_backward`: the look-up of float pictures and its gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.cuda import lut3d_float as on_cuda
from kernels.library.checks import any_of, check_lut, check_storage, shape_of
from kernels.library.definition import define
from kernels.reference import lut3d_float as reference

FLOATS = (torch.float32, torch.float64)


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """Training: picture (N, 3, H, W) in [0, 1], lut (3, D, D, D) or (N, 3, D, D, D) -> a new picture of the same shape.

    Both float32 or both float64: half precision holds neither the places nor their gradients. D from 2 to 129. Colours
    outside [0, 1] are clamped, NaN counts as 0. Differentiable once in both, in reverse mode; the reference's docstring
    says what the gradients are at nodes and where colours are clamped. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.lut3d(picture, lut)
    return out


def _check(picture: Tensor, lut: Tensor) -> None:
    if picture.dim() != 4 or picture.shape[1] != 3:
        raise ValueError(f"picture has shape {shape_of(picture)}, wanted (N, 3, H, W)")
    if picture.dtype not in FLOATS or lut.dtype != picture.dtype:
        raise ValueError(f"picture is {picture.dtype} and lut is {lut.dtype}, wanted one of {any_of(FLOATS)} for both")
    check_lut(lut, picture.shape[0])
    check_storage(picture=picture, lut=lut)


def _check_backward(grad: Tensor, picture: Tensor, lut: Tensor, *_: bool) -> None:
    _check(picture, lut)
    if grad.shape != picture.shape or grad.dtype != picture.dtype:
        seen, wanted = f"{shape_of(grad)} of {grad.dtype}", f"{shape_of(picture)} of {picture.dtype}"
        raise ValueError(f"grad is {seen}, wanted {wanted} as the picture")
    check_storage(picture=picture, grad=grad)


def _empty(picture: Tensor, lut: Tensor) -> Tensor:
    return picture.new_empty(picture.shape)


def _empty_gradients(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    return picture.new_empty(picture.shape if for_picture else 0), lut.new_empty(lut.shape if for_lut else 0)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needed = ctx.needs_input_grad
    gradients = torch.ops.lutra.lut3d_backward(grad, *ctx.saved_tensors, *needed)
    return tuple(gradient if is_needed else None for gradient, is_needed in zip(gradients, needed, strict=True))


define(
    "lut3d(Tensor picture, Tensor lut) -> Tensor",
    reference.lut3d,
    _check,
    _empty,
    on_cuda=on_cuda.lut3d,
    backward=_backward,
)
define(
    "lut3d_backward(Tensor grad, Tensor picture, Tensor lut, bool for_picture=True, bool for_lut=True)"
    " -> (Tensor, Tensor)",
    reference.lut3d_backward,
    _check_backward,
    _empty_gradients,
    on_cuda=on_cuda.lut3d_backward,
)
