"""The op `lut3d_apply`: the look-up of stored pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import cpu
from kernels.cuda import lut3d as on_cuda
from kernels.library.checks import CODES, any_of, check_lut, check_storage, shape_of
from kernels.library.definition import define
from kernels.reference import lut3d as reference

MAX_VALUE = 2.0**100  # of a table: the difference of two, times 65,535, stays finite in float32


def lut3d_apply(picture: Tensor, lut: Tensor) -> Tensor:
    """Serving: picture (H, W, 3) or (N, H, W, 3), uint8 or uint16 -> a new picture of the same shape and type.

    lut (3, D, D, D), or for a batch also one table each, (N, 3, D, D, D); any floating type, taken to float32; D from 2
    to 129; values finite and within 2**100 of 0, however steep. Results are integers: no gradients. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.lut3d_apply(picture, lut)
    return out


def _check(picture: Tensor, lut: Tensor) -> None:
    if picture.dim() not in (3, 4) or picture.shape[-1] != 3:
        raise ValueError(f"picture has shape {shape_of(picture)}, wanted (height, width, 3) or (N, height, width, 3)")
    if picture.dtype not in CODES:
        raise ValueError(f"picture is {picture.dtype}, wanted {any_of(CODES)}")
    if not lut.is_floating_point():
        raise ValueError(f"lut is {lut.dtype}, wanted a floating type")
    check_lut(lut, picture.shape[0] if picture.dim() == 4 else None)
    check_storage(picture=picture, lut=lut)


def _check_values(picture: Tensor, lut: Tensor) -> None:
    if lut.numel() == 0:
        return
    if lut.device.type == "cpu" and not cpu.why_missing():
        low, high = cpu.value_range(lut)
    else:
        low, high = torch.stack(torch.aminmax(lut.detach().float())).tolist()
    if not (low >= -MAX_VALUE and high <= MAX_VALUE):  # so written, NaN is refused too
        raise ValueError(f"lut holds values from {low} to {high}, wanted finite ones within 2**100 of 0")


def _empty(picture: Tensor, lut: Tensor) -> Tensor:
    return picture.new_empty(picture.shape)


define(
    "lut3d_apply(Tensor picture, Tensor lut) -> Tensor",
    reference.lut3d_apply,
    _check,
    _empty,
    on_cuda=on_cuda.lut3d_apply,
    check_values=_check_values,
)
