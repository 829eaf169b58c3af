"""EXIF and ICC: what a photographer wants to keep is kept, what would be wrong afterwards is not."""

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
from workers.pictures.codecs import exif, icc
from workers.pictures.imageio import FORMATS_OUT, Picture, decode, encode

LIMIT = 50_000_000
P3 = profiles.matrix_profile(DISPLAY_P3, 2.2)
WIDE = profiles.matrix_profile(PROPHOTO, 1.8)
THUMBNAIL = files.saved(files.rgb(24, 32), "JPEG")


def picture(dtype: str = "uint8", channels: int = 3, **fields: Any) -> Picture:
    known = {"icc": None, "exif": None, "format": "jpeg", "lossy": True} | fields
    return Picture(photo(48, 64, channels, dtype), None, **known)


def tags(data: bytes) -> dict[int | str, Any]:
    """Main, Exif and GPS tags as Pillow reads them."""
    with Image.open(io.BytesIO(data)) as image:
        found = image.getexif()
        told: dict[int | str, Any] = dict(found.items())
        told.update(found.get_ifd(0x8769).items())
        told.update((f"gps {tag}", value) for tag, value in found.get_ifd(0x8825).items())
        return told


# --- EXIF ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("target", FORMATS_OUT)
def test_exif_goes_from_every_format_to_every_format(source: str, target: str) -> None:
    made = decode(encode(picture(exif=files.exif_block()), source), max_pixels=LIMIT)
    found = tags(encode(made, target))
    assert (found[0x010F], found[0x0110], found["gps 1"]) == ("Lutra", "Camera 1", "N")
    assert (found[0xA002], found[0xA003]) == (64, 48)
    assert found.get(0x0112, 1) == 1


def test_the_thumbnail_goes_and_the_rest_stays() -> None:
    data = files.saved(files.rgb(), "JPEG", exif=b"Exif\0\0" + files.exif_block(6, THUMBNAIL))
    assert THUMBNAIL in data
    made = decode(data, max_pixels=LIMIT)
    assert made.exif is not None
    assert exif.orientation(made.exif) == 1
    assert len(made.exif) < len(files.exif_block()) + 40
    for kind in FORMATS_OUT:
        again = encode(made, kind)
        assert THUMBNAIL[-50:] not in again
        assert tags(again)[0x0110] == "Camera 1"


def test_a_thumbnail_in_the_middle_is_blanked_and_nothing_moves() -> None:
    block = files.exif_block(1, THUMBNAIL) + b"maker note behind"
    cleaned = exif.clean(block)
    assert cleaned is not None and len(cleaned) == len(block)
    assert cleaned.endswith(b"maker note behind") and THUMBNAIL[:40] not in cleaned


@pytest.mark.parametrize("kind", FORMATS_OUT)
def test_strip_takes_camera_and_place_away(kind: str) -> None:
    data = encode(picture(exif=files.exif_block()), kind, metadata="strip")
    assert b"Camera 1" not in data
    assert not set(tags(data)) & {0x010F, 0x0110, "gps 1"}


@pytest.mark.parametrize("block", [b"nonsense", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08", files.looping_exif()])
def test_broken_exif_is_dropped_with_a_warning(block: bytes, caplog: pytest.LogCaptureFixture) -> None:
    data = files.png_of(photo(), files.chunk(b"eXIf", block))
    with caplog.at_level(logging.WARNING):
        assert decode(data, max_pixels=LIMIT).exif is None
    assert any("EXIF" in record.message for record in caplog.records)


def test_exif_too_large_for_a_jpeg_is_dropped_there_and_kept_elsewhere(caplog: pytest.LogCaptureFixture) -> None:
    made = Image.Exif()
    made[0x0110], made[0x010E] = "Camera 1", "x" * 70000
    block = made.tobytes().removeprefix(b"Exif\0\0")
    assert b"Camera 1" in encode(picture(exif=block), "png")
    with caplog.at_level(logging.WARNING):
        assert b"Camera 1" not in encode(picture(exif=block), "jpeg")
    assert caplog.records


def test_orientation_of_a_tiff_is_not_taken_over() -> None:
    data = files.tiff_of(photo(20, 30), 2, files.short(274, 6), (272, 2, 9, b"Camera 1\0"))
    made = decode(data, max_pixels=LIMIT)
    assert made.pixels.shape == (30, 20, 3)
    assert tags(encode(made, "tiff"))[0x0112] == 1
    assert tags(encode(made, "jpeg"))[0x0110] == "Camera 1"


def test_what_tifffile_says_of_the_shape_of_an_array_is_not_taken_over_and_a_caption_is() -> None:
    for said, kept in ((b'{"shape": [20, 30, 3]}\0', False), (b"A heron\0", True)):
        data = files.tiff_of(photo(20, 30), 2, (270, 2, len(said), said))
        assert (0x010E in tags(encode(decode(data, max_pixels=LIMIT), "tiff"))) is kept


# --- ICC -----------------------------------------------------------------------------------------------------------


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
