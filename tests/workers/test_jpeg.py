"""JPEG: what its header says, which kinds are refused, and profiles cut into chunks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.attacks import files
from workers.errors import CorruptPicture, NotAPicture
from workers.pictures.codecs import jpeg


def saved(**options: object) -> bytes:
    return files.saved(files.rgb(), "JPEG", **options)


def with_frame(change: bytes, at: int) -> bytes:
    """Our picture with other bytes in its frame header; `at` counts from its marker."""
    data = saved()
    start = data.index(b"\xff\xc0")
    return data[: start + at] + change + data[start + at + len(change) :]


@pytest.mark.parametrize(("value", "size"), [(1, (128, 96)), (3, (128, 96)), (6, (96, 128)), (8, (96, 128))])
def test_the_header_says_the_size_upright(value: int, size: tuple[int, int]) -> None:
    header = jpeg.read_header(saved(exif=b"Exif\0\0" + files.exif_block(value)))
    assert (header.width, header.height) == size
    assert (header.lossy, header.has_alpha, header.is_grey, header.bit_depth) == (True, False, False, 8)


def test_grey_is_grey() -> None:
    assert jpeg.read_header(files.saved(files.rgb().convert("L"), "JPEG")).is_grey


@pytest.mark.parametrize(("change", "at"), [(b"\xc3", 1), (b"\xc5", 1), (b"\x0c", 4), (b"\x02", 9)])
def test_lossless_hierarchical_and_deep_ones_are_not_read(change: bytes, at: int) -> None:
    with pytest.raises(NotAPicture, match="not supported"):
        jpeg.read_header(with_frame(change, at))


def test_a_picture_without_height_is_damage() -> None:
    with pytest.raises(CorruptPicture, match="128x0"):
        jpeg.read_header(with_frame(b"\0\0", 5))


def chunk(index: int, total: int, data: bytes) -> bytes:
    payload = b"ICC_PROFILE\0" + bytes((index, total)) + data
    return b"\xff\xe2" + (len(payload) + 2).to_bytes(2, "big") + payload


def test_the_chunks_of_a_profile_are_put_in_order_and_one_that_lacks_drops_them_all() -> None:
    data = saved()
    whole = data[:2] + chunk(2, 2, b"second") + chunk(1, 2, b"first ") + data[2:]
    assert jpeg.decode(whole).icc == b"first second"
    assert jpeg.decode(data[:2] + chunk(1, 2, b"first ") + data[2:]).icc is None


def test_a_large_profile_is_written_in_chunks() -> None:
    profile = np.random.default_rng(0).bytes(200_000)
    made = jpeg.encode(files.photo(16, 16), 90, profile, files.exif_block())
    assert made.count(b"ICC_PROFILE\0") == 4
    scan = jpeg.decode(made)
    assert scan.icc == profile and scan.exif
