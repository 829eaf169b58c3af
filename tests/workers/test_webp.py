"""The chunks of a WebP: what its header says of each kind of frame, and files that are not as long as they say."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.attacks import files
from workers.errors import CorruptPicture
from workers.pictures.codecs import webp
from workers.pictures.picture import MAX_PARTS


def saved(*, alpha: bool = False, lossless: bool = False, **options: object) -> bytes:
    pixels = files.photo(31, 47, 4)
    if alpha:
        pixels[:10, :, 3] = 0
    out = io.BytesIO()
    image = Image.fromarray(pixels if alpha else np.ascontiguousarray(pixels[:, :, :3]))
    image.save(out, "WEBP", lossless=lossless, **options)
    return out.getvalue()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("exif", [None, 1, 6])
def test_the_header_says_what_the_pixels_are(alpha: bool, lossless: bool, exif: int | None) -> None:
    block = {} if exif is None else {"exif": files.exif_block(exif)}
    data = saved(alpha=alpha, lossless=lossless, **block)
    header, scan = webp.read_header(data), webp.decode(data)
    assert (header.width, header.height) == ((31, 47) if exif == 6 else (47, 31))
    assert (header.has_alpha, header.lossy, header.is_grey, header.bit_depth) == (alpha, not lossless, False, 8)
    assert scan.pixels.shape == (31, 47, 3) and (scan.alpha is not None) == alpha
    assert scan.orientation == (exif or 1)


def test_chunks_are_told_in_order_without_their_padding() -> None:
    data = riff((b"VP8X", b"x" * 10), (b"ODD ", b"abc"), (b"EXIF", b"de"))
    found = [(kind, data[start : start + size]) for kind, start, size in webp.chunks(data)]
    assert found == [(b"VP8X", b"x" * 10), (b"ODD ", b"abc"), (b"EXIF", b"de")]


@pytest.mark.parametrize("lossless", [False, True])
def test_a_file_that_is_shorter_than_it_says_is_incomplete(lossless: bool) -> None:
    data = saved(lossless=lossless)
    with pytest.raises(CorruptPicture, match="incomplete"):
        webp.read_header(data[:-1])
    longer = riff((b"VP8 ", b"x" * 20)).replace(struct.pack("<I", 20), struct.pack("<I", 200))
    with pytest.raises(CorruptPicture, match="incomplete"):
        webp.read_header(longer)


def test_chunks_without_end_are_given_up() -> None:
    with pytest.raises(CorruptPicture, match="too many chunks"):
        webp.read_header(riff(*[(b"JUNK", b"")] * (MAX_PARTS + 1)))


@pytest.mark.parametrize(
    ("kind", "frame"),
    [(b"VP8X", b"short"), (b"VP8 ", b"x" * 20), (b"VP8 ", b"x"), (b"VP8L", b"\x2e1234"), (b"VP8L", b"\x2f1")],
)
def test_a_frame_that_is_none_is_damage(kind: bytes, frame: bytes) -> None:
    with pytest.raises(CorruptPicture, match="damaged"):
        webp.read_header(riff((kind, frame)))


def test_a_file_without_a_frame_holds_no_picture() -> None:
    with pytest.raises(CorruptPicture, match="no picture"):
        webp.read_header(riff((b"EXIF", b"x")))


@pytest.mark.parametrize("alpha", [False, True])
def test_what_is_written_lossless_comes_back_and_carries_profile_and_exif(alpha: bool) -> None:
    values = files.photo(31, 47, 4)
    plane = np.ascontiguousarray(values[:, :, 3]) if alpha else None
    colour = np.ascontiguousarray(values[:, :, :3])
    scan = webp.decode(webp.encode(colour, plane, None, b"a profile", files.exif_block(), lossless=True))
    np.testing.assert_array_equal(scan.pixels, colour)
    if plane is not None:
        np.testing.assert_array_equal(scan.alpha, plane)
    assert scan.icc == b"a profile" and scan.exif
