"""The doors of the kernels: what comes in is checked here, then the fastest implementation at hand does the work.

Today that is `kernels.reference` on every device. It computes nothing itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.reference import lut3d as reference

MIN_NODES, MAX_NODES = 2, 256


def lut3d_apply(picture: Tensor, lut: Tensor) -> Tensor:
    """Serving: picture (H, W, 3) uint8 or uint16, lut (3, D, D, D) -> a new picture of the same shape and type.

    Raises ValueError.
    """
    if picture.dim() != 3 or picture.shape[2] != 3:
        raise ValueError(f"picture has shape {tuple(picture.shape)}, wanted (height, width, 3)")
    if picture.dtype not in (torch.uint8, torch.uint16):
        raise ValueError(f"picture is {picture.dtype}, wanted torch.uint8 or torch.uint16")
    if lut.dim() != 4:
        raise ValueError(f"lut has shape {tuple(lut.shape)}, wanted (3, D, D, D)")
    _check_lut(lut, picture)
    if not bool(torch.isfinite(lut).all()):
        raise ValueError("lut holds values that are not finite")
    with torch.no_grad():
        return reference.lut3d_apply(picture, lut)


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """Training: picture (N, 3, H, W), lut (3, D, D, D) or (N, 3, D, D, D), one floating type; differentiable in both.

    Raises ValueError.
    """
    if picture.dim() != 4 or picture.shape[1] != 3:
        raise ValueError(f"picture has shape {tuple(picture.shape)}, wanted (N, 3, H, W)")
    if not picture.is_floating_point() or picture.dtype != lut.dtype:
        raise ValueError(f"picture is {picture.dtype} and lut is {lut.dtype}, wanted one floating type for both")
    if lut.dim() not in (4, 5) or (lut.dim() == 5 and lut.shape[0] != picture.shape[0]):
        raise ValueError(f"lut has shape {tuple(lut.shape)}, wanted (3, D, D, D) or ({picture.shape[0]}, 3, D, D, D)")
    _check_lut(lut, picture)
    return reference.lut3d(picture, lut)


def _check_lut(lut: Tensor, picture: Tensor) -> None:
    channels, *sides = lut.shape[-4:]
    if channels != 3 or len(set(sides)) != 1 or not MIN_NODES <= sides[0] <= MAX_NODES:
        wanted = f"(3, D, D, D) with D from {MIN_NODES} to {MAX_NODES}"
        raise ValueError(f"lut has shape {tuple(lut.shape)}, wanted {wanted}")
    if not lut.is_floating_point():
        raise ValueError(f"lut is {lut.dtype}, wanted a floating type")
    if lut.device != picture.device:
        raise ValueError(f"picture is on {picture.device} and lut on {lut.device}, wanted one device")
