"""ICC profiles: carried from every format to every format, applied, or dropped with a warning."""

from __future__ import annotations

import io
import logging
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.attacks import files, profiles
from tests.attacks.files import photo
from tests.attacks.profiles import DISPLAY_P3, PROPHOTO
from workers.pictures.codecs import icc
from workers.pictures.imageio import FORMATS_OUT, Picture, decode, encode

LIMIT = 50_000_000
P3 = profiles.matrix_profile(DISPLAY_P3, 2.2)
WIDE = profiles.matrix_profile(PROPHOTO, 1.8)


def picture(dtype: str = "uint8", channels: int = 3, **fields: Any) -> Picture:
    known = {"icc": None, "exif": None, "format": "jpeg", "lossy": True} | fields
    return Picture(photo(48, 64, channels, dtype), None, **known)


@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("target", FORMATS_OUT)
@pytest.mark.parametrize("metadata", ["keep", "strip"])
def test_a_profile_goes_from_every_format_to_every_format(source: str, target: str, metadata: Any) -> None:
    made = decode(encode(picture(icc=P3), source), max_pixels=LIMIT)
    assert made.icc == P3
    assert decode(encode(made, target, metadata=metadata), max_pixels=LIMIT).icc == P3
    with Image.open(io.BytesIO(encode(made, target, metadata=metadata))) as image:
        assert image.info["icc_profile"] == P3


@pytest.mark.parametrize("kind", FORMATS_OUT)
def test_strip_takes_an_srgb_profile_away_for_it_changes_nothing(kind: str) -> None:
    srgb = profiles.matrix_profile(profiles.SRGB, 2.2)  # not the exact curve: stays
    assert decode(encode(picture(icc=srgb), kind, metadata="strip"), max_pixels=LIMIT).icc == srgb
    exact = icc.srgb_profile()
    assert decode(encode(picture(icc=exact), kind), max_pixels=LIMIT).icc == exact
    assert decode(encode(picture(icc=exact), kind, metadata="strip"), max_pixels=LIMIT).icc is None


def test_a_large_profile_is_cut_into_chunks_and_joined() -> None:
    large = P3[:128] + P3[128:] + bytes(200_000)
    large = len(large).to_bytes(4, "big") + large[4:]
    data = encode(picture(icc=large), "jpeg")
    assert data.count(b"ICC_PROFILE\0") == 4
    assert decode(data, max_pixels=LIMIT).icc == large


@pytest.mark.parametrize("kind", ["tiff", "png"])
def test_a_16_bit_prophoto_picture_comes_back_with_its_profile_and_its_depth(kind: str) -> None:
    source = encode(picture("uint16", icc=WIDE), "tiff")
    made = decode(source, colour="keep", max_pixels=LIMIT)
    back = decode(encode(made, kind), max_pixels=LIMIT)
    assert back.icc == WIDE
    assert len(np.unique(back.pixels)) > 256
    np.testing.assert_array_equal(back.pixels, picture("uint16").pixels)


@pytest.mark.parametrize(("dtype", "tolerance"), [("uint8", 1.3), ("uint16", 200)])
@pytest.mark.parametrize(("primaries", "gamma"), [(PROPHOTO, 1.8), (DISPLAY_P3, 2.2)])
def test_conversion_to_srgb_is_right_at_the_edge_of_the_gamut_too(
    dtype: str, tolerance: float, primaries: profiles.Matrix, gamma: float
) -> None:
    """Against float64. Half a level is rounding, the rest the 16-bit steps of LittleCMS in the steep part of sRGB."""
    rng = np.random.default_rng(1)
    full = np.iinfo(dtype).max
    values = rng.integers(0, full + 1, (64, 64, 3), dtype=dtype)
    wide = Picture(values, None, profiles.matrix_profile(primaries, gamma), None, "tiff", False)
    made = decode(encode(wide, "tiff"), colour="srgb", max_pixels=LIMIT)
    assert made.icc is None and made.pixels.dtype == dtype
    exact = profiles.to_srgb_exactly(values, primaries, gamma) * full
    assert np.abs(exact - made.pixels).max() <= tolerance


def test_srgb_values_are_not_touched_by_a_conversion_to_srgb() -> None:
    made = decode(encode(picture("uint16", icc=icc.srgb_profile()), "png"), colour="srgb", max_pixels=LIMIT)
    np.testing.assert_array_equal(made.pixels, picture("uint16").pixels)
    assert made.icc is None


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_with_a_grey_profile_is_kept_or_converted_as_grey(dtype: str) -> None:
    profile = profiles.grey_profile(1.8)
    data = encode(picture(dtype, 1, icc=profile), "png")
    assert decode(data, max_pixels=LIMIT).icc == profile
    made = decode(data, colour="srgb", max_pixels=LIMIT)
    assert made.pixels.shape == (48, 64, 1) and made.icc is None
    full = np.iinfo(dtype).max
    light = (photo(48, 64, 1, dtype) / full) ** (461 / 256)
    exact = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(exact - made.pixels / full).max() < 1.6 / 255


def test_grey_with_an_rgb_profile_becomes_srgb_grey() -> None:
    made = files.png_of(photo(channels=1), files.chunk(b"iCCP", b"x\0\0" + zlib.compress(P3)))
    back = decode(made, max_pixels=LIMIT)
    assert back.icc is None and back.pixels.shape[2] == 1
    neutral = np.repeat(photo(channels=1), 3, axis=2)
    exact = profiles.to_srgb_exactly(neutral, DISPLAY_P3, 2.2)[:, :, :1] * 255
    assert np.abs(exact - back.pixels).max() < 1.6


def test_grey_in_webp_is_converted_because_webp_has_no_grey() -> None:
    made = picture(channels=1, icc=profiles.grey_profile(1.8))
    back = decode(encode(made, "webp"), max_pixels=LIMIT)
    assert back.icc is None and back.pixels.shape[2] == 3
    right = icc.to_srgb(made.pixels, profiles.grey_profile(1.8))
    assert np.abs(back.pixels.astype(int) - right).mean() < 4


def _cmyk_jpeg(profile: bytes | None) -> bytes:
    image = Image.fromarray(photo(48, 64)).convert("CMYK")
    return files.saved(image, "JPEG", quality=95, **({"icc_profile": profile} if profile else {}))


@pytest.mark.parametrize("colour", ["keep", "srgb"])
def test_cmyk_becomes_srgb_always(colour: Any) -> None:
    plain = decode(_cmyk_jpeg(None), colour=colour, max_pixels=LIMIT)
    printed = decode(_cmyk_jpeg(profiles.printer_profile()), colour=colour, max_pixels=LIMIT)
    for made in (plain, printed):
        assert made.icc is None and made.pixels.shape == (48, 64, 3)
    assert np.abs(plain.pixels.astype(int) - printed.pixels).mean() > 5  # the profile had its say


def test_cmyk_of_16_bits_stays_at_16_bits() -> None:
    inks = photo(40, 40, 4, "uint16")
    profile = profiles.printer_profile()
    for extra in ((), ((34675, 7, len(profile), profile),)):
        made = decode(files.tiff_of(inks, 5, *extra), max_pixels=LIMIT)
        assert made.pixels.dtype == np.uint16
        assert len(np.unique(made.pixels)) > 256


@pytest.mark.parametrize(
    "profile",
    [
        b"no profile",
        b"no profile" * 100,
        P3[:300],
        P3[:36] + b"xxxx" + P3[40:],
        P3[:16] + b"Lab " + P3[20:],
        P3[:128] + b"\xff" * 4 + P3[132:],
        P3[:132] + bytes(len(P3) - 132),
        profiles.printer_profile(),
    ],
)
@pytest.mark.parametrize("colour", ["keep", "srgb"])
def test_an_unusable_profile_is_dropped_with_a_warning(
    profile: bytes, colour: Any, caplog: pytest.LogCaptureFixture
) -> None:
    data = files.jpeg_with(files.saved(files.rgb(), "JPEG"), files.segment(0xE2, b"ICC_PROFILE\0\1\1" + profile))
    plain = decode(files.saved(files.rgb(), "JPEG"), max_pixels=LIMIT)
    with caplog.at_level(logging.WARNING):
        made = decode(data, colour=colour, max_pixels=LIMIT)
    assert made.icc is None
    np.testing.assert_array_equal(made.pixels, plain.pixels)
    assert any("ICC" in record.message for record in caplog.records)


def test_a_profile_for_other_channels_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    """An engine may have made RGB of grey."""
    with caplog.at_level(logging.WARNING):
        data = encode(picture(icc=profiles.grey_profile(2.2)), "png")
    assert b"iCCP" not in data and caplog.records
