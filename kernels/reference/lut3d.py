"""The specification of the three-dimensional look-up table, in plain PyTorch, and what serves where nothing faster is.

A colour v is looked up at q = v (D - 1) on each axis: cell i = min(floor q, D - 2), fraction f = q - i, then the eight
corners are blended linearly. Values outside [0, 1] are clamped, NaN counts as 0.

The gradient by the table gives each corner its weight in the blend, clamped colours and NaN included. The gradient by a
colour is the slope of the cell it was looked up in, times D - 1: at a node inside the table that of the cell above; and
0 for a colour of 0 or less, of 1 or more (both ends included), and for NaN. Closer to a node than rounding can tell, it
may be the slope of either neighbour.

It does not check its arguments; that is `kernels.ops`.
Source: Zeng et al., "Learning Image-Adaptive 3D Lookup Tables for High Performance Photo Enhancement", TPAMI 2022;
`grid_sample` with corners aligned is the same function (tests compare it with the eight corners written out).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BAND_PIXELS = 1 << 15  # pixels in flight per thread: what they need stays in the cache and off the page tables
BILINEAR, BORDER = 0, 1  # as `grid_sampler_3d` counts its modes


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """picture (N, 3, H, W), lut (3, D, D, D) or (N, 3, D, D, D) -> (N, 3, H, W); floating, differentiable in both."""
    if picture.numel() == 0:
        return picture.new_zeros(picture.shape)
    n, _, h, w = picture.shape
    return _sample(_table_each(lut, n), _to_colours(picture)).reshape(n, 3, h, w)


def lut3d_backward(
    grad: Tensor, picture: Tensor, lut: Tensor, for_picture: bool = True, for_lut: bool = True
) -> tuple[Tensor, Tensor]:
    """Gradient of what `lut3d` gave -> gradients by picture and by lut, of their shapes; empty where not wanted."""
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


def clean(values: Tensor) -> Tensor:
    """Colours as the look-up takes them: NaN as 0, the rest clamped to [0, 1]."""
    return torch.nan_to_num(values, nan=0.0).clamp(0, 1)


def lut3d_apply(picture: Tensor, lut: Tensor) -> Tensor:
    """picture (..., 3) uint8 or uint16, lut (3, D, D, D), or with a batch (N, 3, D, D, D) -> the same.

    Computed in float32 and stored as floor(clamp(top * out + 1/2, 0, top)), top being 255 or 65535.
    """
    out = torch.empty(picture.shape, dtype=picture.dtype, device=picture.device)
    work = zip(picture, lut.float(), out, strict=True) if lut.dim() == 5 else [(picture, lut.float(), out)]
    for source, table, target in work:
        _look_up_in_bands(source.reshape(-1, 3), table, target.view(-1, 3))
    return out


def _look_up_in_bands(pixels: Tensor, table: Tensor, out: Tensor) -> None:
    top = 255.0 if pixels.dtype == torch.uint8 else 65535.0
    threads = torch.get_num_threads() if pixels.device.type == "cpu" else 1
    for start in range(0, len(pixels), BAND_PIXELS * threads):
        part = pixels[start : start + BAND_PIXELS * threads]
        out[start : start + len(part)] = _look_up(part, table, top, threads)


def _look_up(part: Tensor, table: Tensor, top: float, threads: int) -> Tensor:
    """Pixels (P, 3) of integers -> the same, looked up; `grid_sample` works in parallel over the batch alone."""
    bands = threads if part.shape[0] % threads == 0 else 1
    colours = (part.float() / top).view(bands, 1, 1, -1, 3)
    found = _sample(table.expand(bands, *table.shape), colours)
    rounded = found.mul_(top).add_(0.5).clamp_(0, top).to(part.dtype)
    return rounded.view(bands, 3, -1).transpose(1, 2).reshape(-1, 3)


def _table_each(lut: Tensor, n: int) -> Tensor:
    return lut if lut.dim() == 5 else lut.expand(n, *lut.shape)


def _to_colours(picture: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W, 3), cleaned."""
    return clean(picture).permute(0, 2, 3, 1).unsqueeze(1)


def _sample(tables: Tensor, colours: Tensor) -> Tensor:
    """tables (N, 3, D, D, D), colours (N, 1, H, W, 3) in [0, 1], red first -> (N, 3, 1, H, W)."""
    return F.grid_sample(tables, 2 * colours - 1, mode="bilinear", padding_mode="border", align_corners=True)


def identity_lut(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The table that changes nothing, (3, size, size, size)."""
    axis = torch.linspace(0, 1, size, dtype=torch.float64).to(dtype)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([red, green, blue])
