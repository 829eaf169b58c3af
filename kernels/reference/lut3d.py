"""The specification of the three-dimensional look-up table, in plain PyTorch, and what serves where nothing faster is.

A colour v is looked up at q = v (D - 1) on each axis: cell i = min(floor q, D - 2), fraction f = q - i, then the eight
corners are blended linearly. Values outside [0, 1] are clamped, NaN counts as 0. It does not check its arguments; that
is `kernels.ops`.
Source: Zeng et al., "Learning Image-Adaptive 3D Lookup Tables for High Performance Photo Enhancement", TPAMI 2022;
`grid_sample` with corners aligned is the same function (tests compare it with the eight corners written out).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BAND_PIXELS = 1 << 15  # pixels in flight per thread: what they need stays in the cache and off the page tables


def lut3d(picture: Tensor, lut: Tensor) -> Tensor:
    """picture (N, 3, H, W), lut (3, D, D, D) or (N, 3, D, D, D) -> (N, 3, H, W); floating, differentiable in both."""
    n, _, h, w = picture.shape
    if picture.numel() == 0:
        return picture + 0 * lut.sum()
    tables = lut if lut.dim() == 5 else lut.expand(n, *lut.shape)
    colours = clean(picture).permute(0, 2, 3, 1).unsqueeze(1)
    return _sample(tables, colours).reshape(n, 3, h, w)


def clean(values: Tensor) -> Tensor:
    """Colours as the look-up takes them: NaN as 0, the rest clamped to [0, 1]."""
    return torch.nan_to_num(values, nan=0.0).clamp(0, 1)


def lut3d_apply(picture: Tensor, lut: Tensor) -> Tensor:
    """picture (H, W, 3) uint8 or uint16, lut (3, D, D, D) -> the same, floor(clamp(top * out + 1/2, 0, top))."""
    height, width, _ = picture.shape
    top = 255.0 if picture.dtype == torch.uint8 else 65535.0
    out = torch.empty(picture.shape, dtype=picture.dtype, device=picture.device)
    if picture.numel() == 0:
        return out
    threads = torch.get_num_threads() if picture.device.type == "cpu" else 1
    pixels = picture.reshape(-1, 3)
    written = out.view(-1, 3)
    table = lut.float()
    for start in range(0, height * width, BAND_PIXELS * threads):
        part = pixels[start : start + BAND_PIXELS * threads]
        written[start : start + len(part)] = _look_up(part, table, top, threads)
    return out


def _look_up(part: Tensor, table: Tensor, top: float, threads: int) -> Tensor:
    """Pixels (P, 3) of integers -> the same, looked up; `grid_sample` works in parallel over the batch alone."""
    bands = threads if part.shape[0] % threads == 0 else 1
    colours = (part.float() / top).view(bands, 1, 1, -1, 3)
    found = _sample(table.expand(bands, *table.shape), colours)
    rounded = found.mul_(top).add_(0.5).clamp_(0, top).to(part.dtype)
    return rounded.view(bands, 3, -1).transpose(1, 2).reshape(-1, 3)


def _sample(tables: Tensor, colours: Tensor) -> Tensor:
    """tables (N, 3, D, D, D), colours (N, 1, H, W, 3) in [0, 1], red first -> (N, 3, 1, H, W)."""
    return F.grid_sample(tables, 2 * colours - 1, mode="bilinear", padding_mode="border", align_corners=True)


def identity_lut(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The table that changes nothing, (3, size, size, size)."""
    axis = torch.linspace(0, 1, size, dtype=torch.float64).to(dtype)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([red, green, blue])
