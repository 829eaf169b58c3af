"""What came in lossless leaves lossless, and `lossless` asks for it: WebP and AVIF, with alpha, profile and EXIF."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.attacks import profiles
from tests.living import as_file, photo
from workers.errors import ParameterError
from workers.pictures import imageio
from workers.pictures.codecs import avif
from workers.pictures.codecs import icc as icc_codec
from workers.pictures.picture import Picture


def picture(
    channels: int = 3, *, alpha: str = "", icc: bytes | None = None, kind: type[np.uint8 | np.uint16] = np.uint8
) -> Picture:
    pixels: NDArray[Any] = photo(33, 41, 4)[..., :channels].astype(kind) * (np.iinfo(kind).max // 255)
    plane: NDArray[Any] | None = None
    if alpha:
        plane = np.full((33, 41), np.iinfo(kind).max, kind)
        if alpha == "holes":
            plane[5:20] = np.arange(41, dtype=kind)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    return Picture(pixels, plane, icc, exif.tobytes(), "png", False)


@pytest.mark.parametrize("is_tagged", [False, True])
@pytest.mark.parametrize("alpha", ["", "opaque", "holes"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("metadata", ["keep", "strip"])
@pytest.mark.parametrize("format_out", ["webp", "avif"])
def test_each_pixel_stays(format_out: str, metadata: str, channels: int, alpha: str, is_tagged: bool) -> None:
    profile = None if not is_tagged else RGB_PROFILE if channels == 3 else profiles.grey_profile(1.8)
    made = picture(channels, alpha=alpha, icc=profile)
    data = imageio.encode(made, format_out, metadata=metadata, lossless=True)  # type: ignore[arg-type]
    back = imageio.decode(data, max_pixels=10_000)
    wanted = made.pixels
    if back.pixels.shape[2] > channels:  # grey with a profile of its own is converted where it must be RGB
        wanted = imageio._grey_as_rgb(made.pixels, icc_codec.usable(made.icc, channels))[0]
    assert np.array_equal(back.pixels, wanted)
    if alpha == "holes":
        assert back.alpha is not None and made.alpha is not None
        assert np.array_equal(back.alpha, made.alpha)
    else:
        assert back.alpha is None or (back.alpha == 255).all()
    assert (b"Maker" in (back.exif or b"")) == (metadata == "keep")
    if channels == 3:
        assert back.icc == profile
    if channels == 3 or format_out == "webp":
        assert not imageio.probe(data).lossy


def rgb_profile() -> bytes:
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    at = profile.find(b"rXYZ", 128)
    offset = int.from_bytes(profile[at + 4 : at + 8], "big")
    profile[offset + 8 : offset + 12] = (0x8000).to_bytes(4, "big")  # another red: not sRGB
    return bytes(profile)


RGB_PROFILE = rgb_profile()


def test_sixteen_bits_become_eight_and_those_stay() -> None:
    made = picture(kind=np.uint16)
    for format_out in ("webp", "avif"):
        back = imageio.decode(imageio.encode(made, format_out, lossless=True), max_pixels=10_000)
        assert np.array_equal(back.pixels, imageio._eight_bits(made.pixels))


@pytest.mark.parametrize("quality", [None, 1, 100])
@pytest.mark.parametrize("format_out", ["webp", "avif"])
def test_lossless_ignores_quality(format_out: str, quality: int | None) -> None:
    made = picture()
    assert imageio.encode(made, format_out, quality=quality, lossless=True) == imageio.encode(
        made, format_out, lossless=True
    )


def test_headers_tell_how_a_picture_came_in() -> None:
    pixels = photo(40, 50)
    assert imageio.probe(as_file(pixels, "WEBP", lossless=True)).lossy is False
    for data in (
        as_file(pixels, "WEBP"),
        as_file(pixels, "AVIF"),
        as_file(pixels, "AVIF", quality=100),
        as_file(pixels),
    ):
        assert imageio.probe(data).lossy is True
    frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1])]
    for lossless in (True, False):
        file = io.BytesIO()
        frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=lossless)
        assert imageio.probe(file.getvalue()).lossy is not lossless


@pytest.mark.parametrize(
    ("asked", "format_out", "is_auto", "came_in_lossy", "right"),
    [
        (None, "webp", True, False, True),
        (None, "avif", True, False, True),
        (None, "webp", True, True, False),
        (None, "webp", False, False, False),
        (False, "webp", True, False, False),
        (True, "avif", False, True, True),
        (None, "jpeg", True, False, False),
        (False, "jpeg", True, True, False),
        (None, "png", True, True, True),
        (True, "tiff", False, True, True),
    ],
)
def test_what_leaves_lossless(
    asked: bool | None, format_out: str, is_auto: bool, came_in_lossy: bool, right: bool
) -> None:
    assert imageio.is_kept_lossless(asked, format_out, is_auto=is_auto, came_in_lossy=came_in_lossy) is right


def test_a_lossless_jpeg_is_refused() -> None:
    with pytest.raises(ParameterError, match="jpeg is never lossless"):
        imageio.is_kept_lossless(True, "jpeg", is_auto=True, came_in_lossy=True)


def test_damaged_boxes_do_not_decide() -> None:
    whole = imageio.encode(picture(), "avif", lossless=True)
    at = whole.index(b"ipco")
    broken = whole[: at + 4] + b"\0\0\0\1" + whole[at + 8 :]
    assert avif.is_lossless(whole)
    assert not avif.is_lossless(broken)
    assert not avif.is_lossless(whole[: at + 8])
