"""PNGs: exact values of every kind, transparent colours, and how much image data there may be."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.attacks import files
from tests.attacks.files import chunk, photo
from workers.errors import CorruptPicture
from workers.pictures.imageio import Picture, decode, probe

LIMIT = 1_000_000


def read(data: bytes) -> Picture:
    header, made = probe(data), decode(data, max_pixels=LIMIT)
    assert made.pixels.shape[:2] == (header.height, header.width)
    return made


def _png(raw: bytes, *before: bytes, colour: int = 2, depth: int = 8, interlace: int = 0) -> bytes:
    return files.png(files.ihdr(128, 96, depth, colour, interlace), *before, files.idat(raw))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("surplus", [1, 4, 200, 384])
def test_less_than_a_row_too_much_image_data_is_no_damage(
    surplus: int, interlace: int, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = photo()
    raw = files.adam7(pixels) if interlace else files.rows(pixels)
    np.testing.assert_array_equal(read(_png(raw + bytes(surplus), interlace=interlace)).pixels, pixels)
    assert capfd.readouterr() == ("", "")


def test_a_surplus_keeps_palette_and_transparency() -> None:
    palette, levels = bytes(range(48)), bytes(range(0, 256, 16))
    indices = np.arange(96 * 128).reshape(96, 128, 1) % 16
    raw = files.rows(indices.astype(np.uint8)) + b"more"
    made = read(_png(raw, chunk(b"PLTE", palette), chunk(b"tRNS", levels), colour=3))
    np.testing.assert_array_equal(made.pixels, np.frombuffer(palette, np.uint8).reshape(16, 3)[indices[:, :, 0]])
    np.testing.assert_array_equal(made.alpha, np.frombuffer(levels, np.uint8)[indices[:, :, 0]])


@pytest.mark.parametrize("other", [-385, -4, -1, 385, 4000])
def test_other_amounts_of_image_data_are_damage(other: int) -> None:
    raw = files.rows(photo())
    with pytest.raises(CorruptPicture, match="more or less"):
        decode(_png(raw[:other] if other < 0 else raw + bytes(other)), max_pixels=LIMIT)


def _packed(values: Any, depth: int) -> bytes:
    """Rows of 1, 2, 4 or 8 bits a pixel, unfiltered."""
    bits = np.unpackbits(values.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :].reshape(len(values), -1)
    packed = np.packbits(bits, axis=1)
    return np.hstack((np.zeros((len(values), 1), np.uint8), packed)).tobytes()


_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize(("interlace", "high_bits"), [(0, 0), (1, 0), (1, 0xAB00)])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_is_found_at_every_depth(depth: int, interlace: int, high_bits: int) -> None:
    """Only the low bits of the level count (PNG, section 11.3.1.1)."""
    values, full = photo(96, 128, 1)[:, :, 0] >> (8 - depth), (1 << depth) - 1
    level = int(values[5, 5])
    parts = [values[y::dy, x::dx] for x, y, dx, dy in (_PASSES if interlace else ((0, 0, 1, 1),))]
    raw = b"".join(_packed(part, depth) for part in parts)
    transparent = chunk(b"tRNS", struct.pack(">H", high_bits | level))
    made = read(_png(raw, transparent, colour=0, depth=depth, interlace=interlace))
    np.testing.assert_array_equal(made.pixels[:, :, 0], values.astype(int) * 255 // full)
    np.testing.assert_array_equal(made.alpha, np.where(values == level, 0, 255))
