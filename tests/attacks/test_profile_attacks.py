"""Profiles that would compute or unpack for ever cost no more than their bytes, in every format that carries them."""

from __future__ import annotations

import time
import zlib

import numpy as np
import pytest

from tests.attacks import files, profiles
from workers.pictures.codecs import icc
from workers.pictures.imageio import Picture, decode, encode

LIMIT = 50_000_000
STEEP = profiles.steep_profiles()


def png_with(profile: bytes, pixels: files.Array) -> bytes:
    return files.png_of(pixels, files.chunk(b"iCCP", b"x\0\0" + zlib.compress(profile, 9)))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", sorted(STEEP))
def test_a_steep_profile_costs_little(name: str, dtype: str) -> None:
    channels = 1 if "grey" in name else 3
    data = png_with(STEEP[name], files.photo(channels=channels, dtype=dtype))
    start = time.process_time()
    for colour in ("keep", "srgb"):
        made = decode(data, colour=colour, max_pixels=LIMIT)
        encode(made, "png", metadata="strip")
        assert made.pixels.shape == (96, 128, channels)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "avif"])
def test_a_program_in_a_profile_is_not_run_and_the_tables_beside_it_count(kind: str) -> None:
    plain, steep = profiles.matrix_profile(profiles.DISPLAY_P3, 2.2), profiles.program_profile(15_000)
    data = {
        profile: encode(Picture(files.photo(), None, profile, None, "png", False), kind) for profile in (plain, steep)
    }
    start = time.process_time()
    kept, right = decode(data[steep], max_pixels=LIMIT), decode(data[steep], colour="srgb", max_pixels=LIMIT)
    assert time.process_time() - start < 2
    assert kept.icc == steep
    np.testing.assert_array_equal(right.pixels, decode(data[plain], colour="srgb", max_pixels=LIMIT).pixels)
    assert right.icc is None


def test_a_profile_that_is_a_program_alone_is_dropped() -> None:
    profile = STEEP["a program and nothing else"]
    assert icc.usable(profile, 3) is None
    np.testing.assert_array_equal(decode(png_with(profile, files.photo()), max_pixels=LIMIT).pixels, files.photo())
