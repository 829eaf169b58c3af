"""The op `eclut`: table super-resolution."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.cuda import eclut as on_cuda
from kernels.library.checks import check_storage, shape_of
from kernels.library.definition import define
from kernels.reference import eclut as reference

SCALES = (2, 3, 4)
ROWS = 1 << 16  # one for each pair of 8-bit values


def eclut(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> Tensor:
    """Table super-resolution: picture (H, W, 3) uint8 -> (H scale, W scale, 3) uint8; scale 2, 3 or 4.

    table (65536, 9 scale^2) int8 for step "lr", (65536, (scale + 2)^2) int16 for "hr"; `kernels.reference.eclut` says
    what its entries mean. Results are integers: no gradients. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.eclut(picture, table, scale, step)
    return out


def _check(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> None:
    if picture.dim() != 3 or picture.shape[-1] != 3:
        raise ValueError(f"picture has shape {shape_of(picture)}, wanted (height, width, 3)")
    if picture.dtype != torch.uint8:
        raise ValueError(f"picture is {picture.dtype}, wanted torch.uint8")
    if scale not in SCALES:
        raise ValueError(f"scale is {scale}, wanted one of {SCALES}")
    if step not in ("lr", "hr"):
        raise ValueError(f"step is {step!r}, wanted 'lr' or 'hr'")
    shape, dtype = ((ROWS, 9 * scale**2), torch.int8) if step == "lr" else ((ROWS, (scale + 2) ** 2), torch.int16)
    if table.shape != shape or table.dtype != dtype:
        seen = f"table is {shape_of(table)} of {table.dtype}"
        raise ValueError(f"{seen}, wanted {shape} of {dtype} for step {step!r} at scale {scale}")
    check_storage(picture=picture, table=table)


def _empty(picture: Tensor, table: Tensor, scale: int, step: str = "lr") -> Tensor:
    return picture.new_empty(picture.shape[0] * scale, picture.shape[1] * scale, 3)


define(
    'eclut(Tensor picture, Tensor table, int scale, str step="lr") -> Tensor',
    reference.eclut,
    _check,
    _empty,
    on_cuda=on_cuda.eclut,
)
