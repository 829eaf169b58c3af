"""Colours of a picture through a table or whatever else changes each by itself, a band of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels import cuda, ops
from kernels.cuda import lut3d as stored
from workers.engine.passes import Array, Tick
from workers.pictures.picture import Picture

TABLE_BAND_PIXELS = 1 << 24
OWN_BAND_PIXELS = 1 << 20  # in floating point a pixel takes some forty bytes
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG and Pillow make grey

LookUp = Callable[[Array], Array]  # (h, w, 3) uint8 or uint16 -> the same


def through(picture: Picture, look_up: LookUp, tick: Tick, band_pixels: int) -> Picture:
    """`picture` through what changes the colours of (h, w, 3)."""
    pixels = picture.pixels
    if pixels.shape[2] == 1:
        look_up = _grey_look_up(pixels.dtype, look_up)
    return replace(picture, pixels=_in_bands(pixels, look_up, tick, band_pixels))


def _in_bands(pixels: Array, look_up: LookUp, tick: Tick, band_pixels: int) -> Array:
    """A change of each pixel by itself, some rows at a time."""
    rows = max(1, band_pixels // pixels.shape[1])
    bands = math.ceil(pixels.shape[0] / rows)
    if bands == 1:
        result = look_up(pixels)
    else:
        result = np.empty_like(pixels)
        for band in range(bands):
            tick(band, bands)
            result[band * rows : (band + 1) * rows] = look_up(pixels[band * rows : (band + 1) * rows])
    tick(bands, bands)
    return result


def table_look_up(lut: Tensor) -> LookUp:
    """Through a table (3, D, D, D), on the device where it lies. A GPU reads it as it was prepared for the first band.

    Raises ValueError for values that are not finite, at the first band.
    """
    compiled = lut.device.type == "cuda" and not cuda.why_missing()
    apply = prepared_table(lut) if compiled else partial(_apply, lut)

    def look_up(band: Array) -> Array:
        owned = np.require(band, requirements=["C", "W"])
        result: Array = apply(torch.from_numpy(owned).to(lut.device)).cpu().numpy()
        return result

    return look_up


def _apply(lut: Tensor, codes: Tensor) -> Tensor:
    return ops.lut3d_apply(codes, lut)


def prepared_table(lut: Tensor) -> Callable[[Tensor], Tensor]:
    """As `kernels.ops.lut3d_apply` by one table, which is checked and prepared once for each type of codes."""

    @cache
    def table(dtype: torch.dtype) -> stored.Table:
        if not bool(lut.isfinite().all()):
            raise ValueError("lut holds values that are not finite")
        return stored.prepare(lut, "nodes" if dtype == torch.uint16 else None)

    return lambda codes: stored.look_up(codes, table(codes.dtype))


def _grey_look_up(dtype: np.dtype[Any], colours_of: LookUp) -> LookUp:
    """What becomes of every grey level of a type: the luma of the colour it becomes, computed with 16 bits."""
    levels = np.iinfo(dtype).max + 1
    ramp = (np.arange(levels, dtype=np.float64) * 65535 / (levels - 1) + 0.5).astype(np.uint16)
    luma = colours_of(np.repeat(ramp[None, :, None], 3, axis=2))[0].astype(np.float64) @ LUMA
    curve = np.floor(luma * (levels - 1) / 65535 + 0.5).clip(0, levels - 1).astype(dtype)
    return lambda band: np.take(curve, band)
