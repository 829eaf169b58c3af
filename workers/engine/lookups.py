"""Colours of a picture through a table or whatever else changes each by itself, a band of rows at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels import ops
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
    def look_up(band: Array) -> Array:
        owned = np.require(band, requirements=["C", "W"])
        found: Array = ops.lut3d_apply(torch.from_numpy(owned).to(lut.device), lut).cpu().numpy()
        return found

    return look_up


def _grey_look_up(dtype: np.dtype[Any], colours_of: LookUp) -> LookUp:
    """What becomes of every grey level of a type: the luma of the colour it becomes, computed with 16 bits."""
    levels = np.iinfo(dtype).max + 1
    ramp = (np.arange(levels, dtype=np.float64) * 65535 / (levels - 1) + 0.5).astype(np.uint16)
    luma = colours_of(np.repeat(ramp[None, :, None], 3, axis=2))[0].astype(np.float64) @ LUMA
    curve = np.floor(luma * (levels - 1) / 65535 + 0.5).clip(0, levels - 1).astype(dtype)
    return lambda band: np.take(curve, band)
