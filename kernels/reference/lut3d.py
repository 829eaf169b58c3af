"""The specification of the three-dimensional look-up table for stored pictures (8 and 16 bits), in plain PyTorch, and
what serves where nothing faster is.

A colour v is looked up at q = v (D - 1) on each axis: cell i = min(floor q, D - 2), fraction f = q - i, then the eight
corners are blended linearly. `kernels.reference.lut3d_float` is the same for float pictures, with gradients.

It does not check its arguments; that is `kernels.ops`.
Source: Zeng et al., "Learning Image-Adaptive 3D Lookup Tables for High Performance Photo Enhancement", TPAMI 2022;
`grid_sample` with corners aligned is the same function (tests compare it with the eight corners written out).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BAND_PIXELS = 1 << 15  # pixels in flight per thread: what they need stays in the cache and off the page tables


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
    blended = sample(table.expand(bands, *table.shape), colours)
    rounded = blended.mul_(top).add_(0.5).clamp_(0, top).to(part.dtype)
    return rounded.view(bands, 3, -1).transpose(1, 2).reshape(-1, 3)


def sample(tables: Tensor, colours: Tensor) -> Tensor:
    """tables (N, 3, D, D, D), colours (N, 1, H, W, 3) in [0, 1], red first -> (N, 3, 1, H, W)."""
    return F.grid_sample(tables, 2 * colours - 1, mode="bilinear", padding_mode="border", align_corners=True)


def identity_lut(size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The table that changes nothing, (3, size, size, size)."""
    axis = torch.linspace(0, 1, size, dtype=torch.float64).to(dtype)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack([red, green, blue])
