"""The op `area_mean`: the reduction by areas."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.library.checks import CODES, any_of, check_storage, shape_of
from kernels.library.definition import define
from kernels.reference import area as reference


def area_mean(picture: Tensor, height: int, width: int) -> Tensor:
    """Serving: picture (H, W, C), uint8 or uint16 -> (height, width, C) float32, means over areas as shares of the top
    code; height from 1 to H and width from 1 to W. No gradients. Raises ValueError.
    """
    out: Tensor = torch.ops.lutra.area_mean(picture, height, width)
    return out


def _check(picture: Tensor, height: int, width: int) -> None:
    if picture.dim() != 3 or picture.numel() == 0:
        raise ValueError(f"picture has shape {shape_of(picture)}, wanted (height, width, channels), none of them 0")
    if picture.dtype not in CODES:
        raise ValueError(f"picture is {picture.dtype}, wanted {any_of(CODES)}")
    if not 1 <= height <= picture.shape[0] or not 1 <= width <= picture.shape[1]:
        raise ValueError(f"size is {height}x{width}, wanted from 1x1 to the picture's own, {shape_of(picture)[:2]}")
    check_storage(picture=picture)


def _empty(picture: Tensor, height: int, width: int) -> Tensor:
    return picture.new_empty(height, width, picture.shape[2], dtype=torch.float32)


define("area_mean(Tensor picture, int height, int width) -> Tensor", reference.area_mean, _check, _empty)
