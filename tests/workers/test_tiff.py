"""TIFFs of every layout and colour come out as the values that they hold."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from tests.attacks import files
from tests.attacks.files import photo
from workers.pictures.imageio import Picture, decode, encode

LIMIT = 50_000_000


def picture(channels: int = 3, dtype: str = "uint8", *, alpha: bool = False, **fields: Any) -> Picture:
    values = photo(48, 64, channels + 1, dtype)
    plane = np.ascontiguousarray(values[:, :, -1]) if alpha else None
    known = {"icc": None, "exif": None, "format": "png", "lossy": False} | fields
    return Picture(np.ascontiguousarray(values[:, :, :-1]), plane, **known)


def test_our_16_bit_tiff_is_read_by_opencv_and_tifffile() -> None:
    import cv2
    import tifffile

    made = picture(dtype="uint16")
    data = encode(made, "tiff")
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert bgr is not None
    np.testing.assert_array_equal(bgr[:, :, ::-1], made.pixels)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(data)), made.pixels)


def test_white_is_zero_is_turned_round() -> None:
    made = decode(files.good()["white is zero tiff"], max_pixels=LIMIT)
    np.testing.assert_array_equal(made.pixels, 255 - photo(channels=1))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_premultiplied_colours_are_divided_by_alpha(dtype: str) -> None:
    full = np.iinfo(dtype).max
    straight = photo(16, 16, 4, dtype).astype(np.int64)
    straight[:, :, 3] = np.maximum(straight[:, :, 3], full // 2)
    stored = straight.copy()
    stored[:, :, :3] = (stored[:, :, :3] * straight[:, :, 3:] + full // 2) // full
    made = decode(files.tiff_of(stored.astype(dtype), 2, files.short(338, 1)), max_pixels=LIMIT)
    np.testing.assert_allclose(made.pixels.astype(int), straight[:, :, :3], atol=2)
    np.testing.assert_array_equal(made.alpha, straight[:, :, 3])


def test_a_planar_big_endian_tiff_is_read() -> None:
    import tifffile

    values = photo(40, 30, 3, "uint16")
    out = io.BytesIO()
    tifffile.imwrite(out, values.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", byteorder=">")
    np.testing.assert_array_equal(decode(out.getvalue(), max_pixels=LIMIT).pixels, values)


def test_a_tiled_tiff_with_predictor_is_read() -> None:
    import tifffile

    values = photo(100, 70, 3, "uint16")
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric="rgb", tile=(32, 32), compression="zlib", predictor=True)
    np.testing.assert_array_equal(decode(out.getvalue(), max_pixels=LIMIT).pixels, values)


def test_lab_becomes_srgb() -> None:
    lab = np.zeros((4, 4, 3), np.uint8)
    lab[:, :, 0] = 255  # L* = 100
    lab[2:, :, 0] = 137  # L* = 53.7: sRGB 128
    made = decode(files.tiff_of(lab, 8), max_pixels=LIMIT)
    assert made.pixels[:2].min() >= 254
    assert np.abs(made.pixels[2:].astype(int) - 128).max() <= 2
