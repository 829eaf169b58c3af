"""GIF and BMP: what is transparent in them, and what is not."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.attacks import files
from tests.attacks.files import photo
from workers.errors import CorruptPicture
from workers.pictures.imageio import Picture, decode, probe

LIMIT = 1_000_000


def read(data: bytes) -> Picture:
    header, made = probe(data), decode(data, max_pixels=LIMIT)
    assert made.pixels.shape[:2] == (header.height, header.width)
    return made


def _part_of_gif(*, transparent: int | None = None, second: bool = False) -> tuple[bytes, Any]:
    """A screen of 60 x 40 whose background is red, and a frame of 20 x 15 at 20, 10; and the frame's RGB."""
    frame = files.rgb(15, 20).quantize(16)
    options: dict[str, Any] = {} if transparent is None else {"transparency": transparent}
    options |= {"save_all": True, "append_images": [files.rgb(15, 20, seed=7).quantize(16)]} if second else {}
    data = bytearray(files.saved(frame, "GIF", **options))
    colours = np.array(frame.convert("RGB"))
    data[6:10] = struct.pack("<HH", 60, 40)
    data[11] = 3  # background colour
    at = data.index(b",\0\0\0\0\x14\0\x0f\0")
    data[at + 1 : at + 5] = struct.pack("<HH", 20, 10)
    return bytes(data), colours


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("transparent", [None, 5])
def test_a_gif_is_transparent_where_its_frame_does_not_draw(transparent: int | None, second: bool) -> None:
    data, colours = _part_of_gif(transparent=transparent, second=second)
    assert probe(data).has_alpha
    made = read(data)
    inside = np.s_[10:25, 20:40]
    assert made.alpha is not None and made.alpha.shape == (40, 60)
    outside = np.ones((40, 60), bool)
    outside[inside] = False
    assert not made.alpha[outside].any()
    visible = made.alpha[inside] == 255
    assert visible.all() == (transparent is None) and visible.any()
    np.testing.assert_array_equal(made.pixels[inside][visible], colours[visible])


def test_a_gif_whose_frame_covers_all_has_no_alpha() -> None:
    data = files.saved(files.rgb().convert("P"), "GIF")
    assert not probe(data).has_alpha and read(data).alpha is None


def test_a_gif_whose_frame_is_empty_is_damaged() -> None:
    data, _ = _part_of_gif()
    at = data.index(b",") if data.count(b",") == 1 else data.index(struct.pack("<cHHHH", b",", 20, 10, 20, 15))
    with pytest.raises(CorruptPicture, match="0x15"):
        decode(data[: at + 5] + b"\0\0" + data[at + 7 :], max_pixels=LIMIT)


def _bmp(pixels: Any, *, size: int = 108) -> bytes:
    """32 bits with a mask for alpha, bottom up; `size` of the header: 56 (version 3), 108 (4) or 124 (5)."""
    height, width = pixels.shape[:2]
    body = np.ascontiguousarray(pixels[::-1, :, [2, 1, 0, 3]]).tobytes()
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = head.ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + size + len(body), 0, 0, 14 + size) + head + body


@pytest.mark.parametrize("size", [56, 108, 124])
def test_a_bmp_whose_alpha_is_0_everywhere_has_none(size: int) -> None:
    pixels = photo(20, 30, 4)
    pixels[:, :, 3] = 0
    made = read(_bmp(pixels, size=size))
    assert made.alpha is None
    np.testing.assert_array_equal(made.pixels, pixels[:, :, :3])


@pytest.mark.parametrize("size", [56, 108, 124])
def test_where_one_pixel_has_alpha_all_alpha_counts(size: int) -> None:
    pixels = photo(20, 30, 4)
    pixels[:, :, 3] = 0
    pixels[7, 9, 3] = 1
    np.testing.assert_array_equal(read(_bmp(pixels, size=size)).alpha, pixels[:, :, 3])
