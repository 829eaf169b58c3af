"""The ops `resample` and `resample_codes`: planes, or a picture of codes, resampled along rows and columns by runs of
weighted pixels.

An op of torch takes tensors alone, so the arguments of its schema are flat; those of the functions are `Taps`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kernels.cuda import resample as on_cuda
from kernels.library.checks import CODES, any_of, check_storage, check_tensor, shape_of
from kernels.library.definition import define
from kernels.reference import resample as reference
from kernels.reference.resample import Taps


def resample(planes: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """Serving and training: planes (C, h, w) float32 -> (C, rows, cols), new memory, neither rounded nor clamped.

    Each axis' `Taps`: first (samples,) int64, ascending, and weight (samples, taps) float32, at least one tap and all
    of them pixels of the planes. A sample has the same bits whatever the others are. Differentiable once in the
    planes, in reverse mode; not in the weights. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.resample(planes, *rows, *cols)
    return out


def resample_codes(picture: Tensor, rows: Taps, cols: Taps) -> Tensor:
    """Serving: picture (H, W, C), uint8 or uint16 -> (C, rows, cols) float32, shares of the largest code; taps as of
    `resample`. No gradients. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.resample_codes(picture, *rows, *cols)
    return out


def grouped(
    planes: Tensor, row_first: Tensor, row_weight: Tensor, col_first: Tensor, col_weight: Tensor
) -> tuple[Tensor, Taps, Taps]:
    return planes, Taps(row_first, row_weight), Taps(col_first, col_weight)


def grouped_backward(
    grad: Tensor,
    row_first: Tensor,
    row_weight: Tensor,
    col_first: Tensor,
    col_weight: Tensor,
    height: int,
    width: int,
) -> tuple[Tensor, Taps, Taps, int, int]:
    return grad, Taps(row_first, row_weight), Taps(col_first, col_weight), height, width


def _check(planes: Tensor, rows: Taps, cols: Taps) -> None:
    if planes.dim() != 3:
        raise ValueError(f"planes has shape {shape_of(planes)}, wanted (C, h, w)")
    check_tensor("planes", planes, shape_of(planes))
    _check_taps(rows, cols, *planes.shape[1:])
    check_storage(planes=planes, **_named(rows, cols))


def _check_codes(picture: Tensor, rows: Taps, cols: Taps) -> None:
    if picture.dim() != 3:
        raise ValueError(f"picture has shape {shape_of(picture)}, wanted (height, width, channels)")
    if picture.dtype not in CODES:
        raise ValueError(f"picture is {picture.dtype}, wanted {any_of(CODES)}")
    _check_taps(rows, cols, *picture.shape[:2])
    check_storage(picture=picture, **_named(rows, cols))


def _check_backward(grad: Tensor, rows: Taps, cols: Taps, height: int, width: int) -> None:
    _check_taps(rows, cols, height, width)
    samples = len(rows.first), len(cols.first)
    if grad.dim() != 3 or grad.shape[1:] != samples:
        raise ValueError(f"grad has shape {shape_of(grad)}, wanted (C, {samples[0]}, {samples[1]})")
    check_tensor("grad", grad, shape_of(grad))
    check_storage(grad=grad, **_named(rows, cols))


def _check_taps(rows: Taps, cols: Taps, height: int, width: int) -> None:
    for axis, (first, weight), side in (("row", rows, height), ("col", cols, width)):
        if weight.dim() != 2 or not 1 <= weight.shape[1] <= side:
            wanted = f"(samples, taps) with taps from 1 to {side}"
            raise ValueError(f"{axis}_weight has shape {shape_of(weight)}, wanted {wanted}")
        check_tensor(f"{axis}_weight", weight, shape_of(weight))
        check_tensor(f"{axis}_first", first, shape_of(weight)[:1], torch.int64)


def _named(rows: Taps, cols: Taps) -> dict[str, Tensor]:
    return dict(zip(("row_first", "row_weight", "col_first", "col_weight"), (*rows, *cols), strict=True))


def _check_planes_hold(planes: Tensor, rows: Taps, cols: Taps) -> None:
    _check_places(planes, rows, cols, *planes.shape[1:])


def _check_picture_holds(picture: Tensor, rows: Taps, cols: Taps) -> None:
    _check_places(picture, rows, cols, *picture.shape[:2])


def _check_places(_: Tensor, rows: Taps, cols: Taps, height: int, width: int) -> None:
    for axis, (first, weight), side in (("row", rows, height), ("col", cols, width)):
        last = side - weight.shape[1]
        if len(first) and (first[0] < 0 or first[-1] > last or (first[1:] < first[:-1]).any()):
            least, most = (int(one) for one in first.aminmax())
            raise ValueError(f"{axis}_first holds values from {least} to {most}, wanted 0 to {last}, ascending")


def _empty(planes: Tensor, rows: Taps, cols: Taps) -> Tensor:
    return planes.new_empty(len(planes), len(rows.first), len(cols.first))


def _empty_of_codes(picture: Tensor, rows: Taps, cols: Taps) -> Tensor:
    return picture.new_empty(picture.shape[2], len(rows.first), len(cols.first), dtype=torch.float32)


def _empty_gradient(grad: Tensor, rows: Taps, cols: Taps, height: int, width: int) -> Tensor:
    return grad.new_empty(len(grad), height, width)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    planes, *taps = ctx.saved_tensors
    return torch.ops.lutra.resample_backward(grad, *taps, *planes.shape[1:]), None, None, None, None


define(
    "resample(Tensor planes, Tensor row_first, Tensor row_weight, Tensor col_first, Tensor col_weight) -> Tensor",
    reference.resample,
    _check,
    _empty,
    on_cuda=on_cuda.resample,
    check_values=_check_planes_hold,
    backward=_backward,
    grouped=grouped,
)
define(
    "resample_codes(Tensor picture, Tensor row_first, Tensor row_weight, Tensor col_first, Tensor col_weight)"
    " -> Tensor",
    reference.resample_codes,
    _check_codes,
    _empty_of_codes,
    check_values=_check_picture_holds,
    grouped=grouped,
)
define(
    "resample_backward(Tensor grad, Tensor row_first, Tensor row_weight, Tensor col_first, Tensor col_weight,"
    " int height, int width) -> Tensor",
    reference.resample_backward,
    _check_backward,
    _empty_gradient,
    on_cuda=on_cuda.resample_backward,
    check_values=_check_places,
    grouped=grouped_backward,
)
