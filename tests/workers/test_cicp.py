"""Colours that a file declares by numbers count as those of a profile: `colr` boxes (nclx), cICP, cHRM, gAMA."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest

from tests.attacks import files, profiles
from tests.attacks.files import chunk, photo
from tests.workers.declared import BT2020, P3, SRGB, avif_of, exactly
from workers.pictures.codecs import cicp, icc
from workers.pictures.imageio import Picture, decode, encode

LIMIT = 1_000_000


def _as_decoded(pixels: Any) -> Any:
    return decode(avif_of(pixels, 1, 13), max_pixels=LIMIT).pixels


@pytest.mark.parametrize("transfer", [1, 13, 14])
@pytest.mark.parametrize("primaries", [P3, BT2020])
def test_an_avif_that_declares_wide_colours_becomes_srgb(primaries: int, transfer: int) -> None:
    stored = _as_decoded(photo())
    made = decode(avif_of(photo(), primaries, transfer), colour="srgb", max_pixels=LIMIT)
    assert made.icc is None
    assert np.abs(made.pixels - exactly(stored, primaries)).max() < 2.5
    assert np.abs(made.pixels.astype(int) - stored).max() > 20


def test_kept_colours_are_tagged_with_what_they_are() -> None:
    data = avif_of(photo(), P3, 13)
    kept = decode(data, max_pixels=LIMIT)
    np.testing.assert_array_equal(kept.pixels, _as_decoded(photo()))
    assert kept.icc is not None and icc.space(kept.icc) == "rgb" and not icc.is_srgb(kept.icc)
    for kind in ("png", "jpeg", "webp", "tiff", "avif"):
        again = decode(encode(kept, kind), max_pixels=LIMIT)
        assert again.icc == kept.icc
    right = decode(data, colour="srgb", max_pixels=LIMIT)
    np.testing.assert_allclose(icc.to_srgb(kept.pixels, kept.icc).astype(int), right.pixels.astype(int), atol=1)


@pytest.mark.parametrize(("primaries", "transfer"), [(1, 13), (1, 1), (2, 2), (1, 2), (99, 13), (12, 99)])
def test_srgb_and_unknown_code_points_change_nothing(primaries: int, transfer: int) -> None:
    data = avif_of(photo(), primaries, transfer)
    made = decode(data, colour="srgb", max_pixels=LIMIT)
    np.testing.assert_array_equal(made.pixels, _as_decoded(photo()))
    assert decode(data, max_pixels=LIMIT).icc is None


def test_a_profile_in_the_file_goes_before_numbers() -> None:
    profile = profiles.matrix_profile(profiles.PROPHOTO, 1.8)
    data = encode(Picture(photo(), None, profile, None, "png", False), "avif", quality=100)
    at = data.find(b"colrnclx")
    if at >= 0:
        data = data[: at + 8] + struct.pack(">HH", P3, 13) + data[at + 12 :]
    assert decode(data, max_pixels=LIMIT).icc == profile


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("primaries", [P3, BT2020])
def test_cicp_of_a_png_counts(primaries: int, dtype: str) -> None:
    pixels = photo(dtype=dtype)
    data = files.png_of(pixels, chunk(b"cICP", bytes((primaries, 13, 0, 1))))
    made = decode(data, colour="srgb", max_pixels=LIMIT)
    scale = np.iinfo(dtype).max / 255
    assert np.abs(made.pixels / scale - exactly(pixels, primaries)).max() < 1.3
    np.testing.assert_array_equal(decode(data, max_pixels=LIMIT).pixels, pixels)


def test_perceptual_quantisation_is_cut_off_at_diffuse_white() -> None:
    white = round(65535 * 0.5806888810416109)  # PQ of 203 cd/m2
    pixels = np.array([[0, white // 2, white, 65535]], np.uint16).repeat(3, 0)[:, :, None].repeat(3, 2)
    made = decode(files.png_of(pixels, chunk(b"cICP", bytes((BT2020, 16, 0, 1)))), colour="srgb", max_pixels=LIMIT)
    row = made.pixels[0, :, 1] / 65535
    assert row[0] == 0 and 0.05 < row[1] < 0.5
    assert row[2] > 0.995 and row[3] > 0.999


def _chrm(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in values)))


_P3_PLACES = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)


def _gama(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 * value)))


@pytest.mark.parametrize("exponent", [1.0, 1.8, 2.6])
def test_gama_and_chrm_of_a_png_count(exponent: float) -> None:
    pixels = photo(dtype="uint16")
    for places, primaries in (((), SRGB), ((_chrm(*_P3_PLACES),), P3)):
        data = files.png_of(pixels, _gama(1 / exponent), *places)
        made = decode(data, colour="srgb", max_pixels=LIMIT)
        right = exactly(pixels, primaries, lambda values: values**exponent)
        assert np.abs(made.pixels / 257 - right).max() < 1.3
        np.testing.assert_array_equal(decode(data, max_pixels=LIMIT).pixels, pixels)


def test_gama_of_a_grey_png_counts_and_it_stays_grey() -> None:
    pixels = photo(channels=1, dtype="uint16")
    made = decode(files.png_of(pixels, _gama(1.0)), colour="srgb", max_pixels=LIMIT)
    right = exactly(pixels.repeat(3, 2), SRGB, lambda values: values)[:, :, :1]
    assert made.pixels.shape == pixels.shape
    assert np.abs(made.pixels / 257 - right).max() < 1.3


@pytest.mark.parametrize(
    "chunks",
    [
        (_gama(0.45455),),
        (_gama(0.45455), _chrm(*cicp.SRGB)),
        (_gama(1.0), chunk(b"sRGB", b"\0")),
        (chunk(b"cICP", bytes((1, 13, 0, 1))), _gama(1.0)),
        (_gama(0),),
        (_gama(1e-4),),
        (_chrm(*[0.3] * 8),),
        (_chrm(*[0] * 8),),
        (_chrm(*[20000] * 8),),
        (chunk(b"gAMA", b"\0\1"),),
        (chunk(b"cHRM", bytes(31)),),
        (_gama(1.0)[:-1] + b"\0",),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_chunks_that_mean_srgb_or_nothing_change_nothing(chunks: tuple[bytes, ...], channels: int) -> None:
    data = files.png_of(photo(channels=channels), *chunks)
    made = decode(data, colour="srgb", max_pixels=LIMIT)
    np.testing.assert_array_equal(made.pixels, photo(channels=channels))
    assert decode(data, max_pixels=LIMIT).icc is None


def test_a_profile_goes_before_gama_and_cicp_before_a_profile() -> None:
    prophoto = profiles.matrix_profile(profiles.PROPHOTO, 1.8)
    iccp = chunk(b"iCCP", b"x\0\0" + zlib.compress(prophoto))
    assert decode(files.png_of(photo(), iccp, _gama(1.0)), max_pixels=LIMIT).icc == prophoto
    both = decode(files.png_of(photo(), chunk(b"cICP", bytes((P3, 13, 0, 1))), iccp), max_pixels=LIMIT)
    assert both.icc == cicp.profile(P3, 13, is_grey=False)


@pytest.mark.parametrize("transfer", [1, 4, 5, 6, 8, 13, 14, 15, 16, 17, 18])
@pytest.mark.parametrize("primaries", [1, 4, 5, 6, 7, 8, 9, 11, 12, 22])
@pytest.mark.parametrize("is_grey", [False, True])
def test_each_profile_is_one_that_can_be_used_and_keeps_grey_grey(primaries: int, transfer: int, is_grey: bool) -> None:
    made = cicp.profile(primaries, transfer, is_grey=is_grey)
    if made is None:
        return
    assert icc.usable(made, 1 if is_grey else 3) == made
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(1 if is_grey else 3, 2)
    seen = icc.to_srgb(ramp, made).astype(int)
    assert seen.max() >= 254 and seen.min() == 0 and (np.diff(seen[0, :, 0]) >= 0).all()
    assert np.ptp(seen, axis=2).max() <= 2
