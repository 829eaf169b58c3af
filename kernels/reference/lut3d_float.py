"""The specification of the three-dimensional look-up table for float pictures, in plain PyTorch, and what serves where
nothing faster is. `kernels.reference.lut3d` says how a colour is looked up.

Values outside [0, 1] are clamped, NaN counts as 0.

The gradient by the table gives each corner its weight in the blend, clamped colours and NaN included. The gradient by a
colour is the slope of the cell it was looked up in, times D - 1: at a node inside the table that of the cell above; and
0 for a colour of 0 or less, of 1 or more (both ends included), and for NaN. Closer to a node than rounding can tell, it
may be the slope of either neighbour.

It does not check its arguments; that is `kernels.ops`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.reference.lut3d import sample

BILINEAR, BORDER = 0, 1  # as `grid_sampler_3d` counts its modes


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """picture (N, 3, H, W), lut (3, D, D, D) or (N, 3, D, D, D) -> (N, 3, H, W); floating, differentiable in both."""
    if picture.numel() == 0:
        return picture.new_zeros(picture.shape)
    n, _, h, w = picture.shape
    return sample(_table_each(lut, n), _to_colours(picture)).reshape(n, 3, h, w)


def lut3d_backward(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    """Gradient of what `lut3d` gave -> gradients by picture and by lut, of their shapes; empty where not needed."""
    by_picture = picture.new_zeros(picture.shape if for_picture else 0)
    by_lut = lut.new_zeros(lut.shape if for_lut else 0)
    if picture.numel() == 0:
        return by_picture, by_lut
    n, _, h, w = picture.shape
    by_table, by_place = torch.ops.aten.grid_sampler_3d_backward(
        grad.reshape(n, 3, 1, h, w),
        _table_each(lut, n),
        2 * _to_colours(picture) - 1,
        BILINEAR,
        BORDER,
        True,
        [for_lut, True],
    )
    if for_picture:
        by_picture.copy_(2 * by_place.reshape(n, h, w, 3).permute(0, 3, 1, 2))
    if for_lut:
        by_lut.copy_(by_table if lut.dim() == 5 else by_table.sum(0))
    return by_picture, by_lut


def _table_each(lut: Tensor, n: int) -> Tensor:
    return lut if lut.dim() == 5 else lut.expand(n, *lut.shape)


def _to_colours(picture: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W, 3): NaN as 0, the rest clamped to [0, 1]."""
    return torch.nan_to_num(picture, nan=0.0).clamp(0, 1).permute(0, 2, 3, 1).unsqueeze(1)
