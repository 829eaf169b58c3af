"""Colours declared by numbers: what they are in sRGB by float64, and AVIFs that declare them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from tests.attacks import profiles
from workers.pictures.imageio import Picture, encode

SRGB, P3, BT2020 = 1, 12, 9
# RGB of each space in XYZ at D50, columns R, G, B.
_BT2020 = ((0.6734241, 0.1656411, 0.1251286), (0.2790177, 0.6753402, 0.0456377), (-0.0019318, 0.0299794, 0.7973300))
_MATRICES = {P3: profiles.DISPLAY_P3, BT2020: _BT2020, SRGB: profiles.SRGB}


def linear(values: Any) -> Any:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def exactly(pixels: Any, primaries: int, decoded: Any = linear) -> Any:
    """sRGB in [0, 255] by float64."""
    into = np.linalg.inv(np.array(profiles.SRGB)) @ np.array(_MATRICES[primaries])
    light = np.clip(decoded(pixels / np.iinfo(pixels.dtype).max) @ into.T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def avif_of(pixels: Any, primaries: int, transfer: int) -> bytes:
    """What Pillow writes, with other code points in its `colr` box."""
    data = encode(Picture(pixels, None, None, None, "png", False), "avif", quality=100)
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
