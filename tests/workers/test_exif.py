"""EXIF: carried from every format to every format, without the thumbnail, or left out."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from PIL import Image

from tests.attacks import files
from tests.attacks.files import photo
from workers.pictures.codecs import exif
from workers.pictures.imageio import FORMATS_OUT, Picture, decode, encode

LIMIT = 50_000_000
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
