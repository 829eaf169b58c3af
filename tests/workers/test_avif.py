"""AVIF boxes: where the colours of a picture are told, and what counts where several do."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.attacks import files, profiles
from tests.attacks.files import photo
from workers.pictures.codecs import avif, cicp, colour_box
from workers.pictures.imageio import Picture, decode, encode

LIMIT = 1_000_000
SRGB, P3, BT2020 = 1, 12, 9
# RGB of each space in XYZ at D50, columns R, G, B.
_BT2020 = ((0.6734241, 0.1656411, 0.1251286), (0.2790177, 0.6753402, 0.0456377), (-0.0019318, 0.0299794, 0.7973300))
_MATRICES = {P3: profiles.DISPLAY_P3, BT2020: _BT2020, SRGB: profiles.SRGB}


def _linear(values: Any) -> Any:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _exactly(pixels: Any, primaries: int, decoded: Any = _linear) -> Any:
    """sRGB in [0, 255] by float64."""
    into = np.linalg.inv(np.array(profiles.SRGB)) @ np.array(_MATRICES[primaries])
    light = np.clip(decoded(pixels / np.iinfo(pixels.dtype).max) @ into.T, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def _avif(pixels: Any, primaries: int, transfer: int) -> bytes:
    """What Pillow writes, with other code points in its `colr` box."""
    data = encode(Picture(pixels, None, None, None, "png", False), "avif", quality=100)
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


@pytest.mark.parametrize("speed", [0, 10])
def test_without_a_box_the_sequence_header_of_an_avif_counts(speed: int) -> None:
    """What libaom writes there by itself, and other code points put in the place of these bits."""
    data = files.saved(files.rgb(), "AVIF", quality=90, speed=speed)
    told = avif.colours(data)
    assert told is not None
    without = data.replace(b"colrnclx", b"freenclx")
    assert colour_box.profile(without, "avif", is_grey=False) is None  # sRGB
    start = data.index(b"mdat") + 4
    bits = "".join(f"{byte:08b}" for byte in data[start : start + 64])
    at = bits.index(f"{told[0]:08b}{told[1]:08b}")
    bits = bits[:at] + f"{P3:08b}{13:08b}" + bits[at + 16 :]
    wide = without[:start] + int(bits, 2).to_bytes(64, "big") + without[start + 64 :]
    assert avif.colours(wide) == (P3, 13)
    stored = decode(data, max_pixels=LIMIT).pixels
    made = decode(wide, colour="srgb", max_pixels=LIMIT)
    assert np.abs(made.pixels - _exactly(stored, P3)).max() < 2.5


def test_of_several_boxes_that_of_the_primary_item_counts() -> None:
    """A table of associations that names the second box, and one that cannot be read."""
    data = _avif(photo(), P3, 13)
    at = data.index(b"ipma")
    broken = data[: at + 8] + struct.pack(">I", 2**31) + data[at + 12 :]
    assert decode(data, max_pixels=LIMIT).icc is not None
    assert colour_box.profile(broken, "avif", is_grey=False) in (None, cicp.profile(P3, 13, is_grey=False))
