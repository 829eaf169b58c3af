"""Where the pixels of a TIFF lie, told or worked out."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from tests.attacks import files
from tests.attacks.files import long, photo, short
from workers.errors import CorruptPicture
from workers.pictures.imageio import Picture, decode, probe

LIMIT = 1_000_000


def read(data: bytes) -> Picture:
    header, made = probe(data), decode(data, max_pixels=LIMIT)
    assert made.pixels.shape[:2] == (header.height, header.width)
    return made


_PACKERS: dict[int, Callable[[bytes], bytes]] = {1: bytes, 8: zlib.compress, 32946: zlib.compress}


def _tiff(compression: int, counts: Callable[[list[int]], list[int] | None], *, tiled: bool = False) -> bytes:
    """photo() in three strips of 32 rows or six tiles of 64 x 32; `counts`: what is told of their lengths."""
    pixels = photo(96, 128)
    step = 64 if tiled else 128
    parts = [pixels[y : y + 32, x : x + step].tobytes() for y in range(0, 96, 32) for x in range(0, 128, step)]
    packed = [_PACKERS[compression](part) for part in parts]
    starts, sizes = [8 + sum(map(len, packed[:i])) for i in range(len(packed))], list(map(len, packed))
    entries = [
        long(256, 128),
        long(257, 96),
        short(258, 8, 8, 8),
        short(259, compression),
        short(262, 2),
        short(277, 3),
    ]
    entries += [long(322, 64), long(323, 32), long(324, *starts)] if tiled else [long(273, *starts), long(278, 32)]
    told = counts(sizes)
    entries += [long(325 if tiled else 279, *told)] if told is not None else []
    return files.tiff(entries, b"".join(packed))


_COUNTS: dict[str, Callable[[list[int]], list[int] | None]] = {
    "missing": lambda sizes: None,
    "0": lambda sizes: [0] * len(sizes),
    "one 0": lambda sizes: [sizes[0], 0, *sizes[2:]],
    "beyond the end": lambda sizes: [10**6] * len(sizes),
    "one beyond the end": lambda sizes: [*sizes[:-1], 2**32 - 1],
    "too few": lambda sizes: sizes[:1],
}


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("compression", sorted(_PACKERS))
@pytest.mark.parametrize("counts", _COUNTS)
def test_lengths_that_a_tiff_does_not_tell_are_worked_out(counts: str, compression: int, tiled: bool) -> None:
    data = _tiff(compression, _COUNTS[counts], tiled=tiled)
    np.testing.assert_array_equal(read(data).pixels, photo(96, 128))


@pytest.mark.parametrize("compression", sorted(_PACKERS))
def test_a_strip_that_really_lacks_pixels_is_damage(compression: int) -> None:
    whole = _PACKERS[compression](photo(96, 128).tobytes())
    for part in (whole[: len(whole) // 2], whole[:-20]):
        entries = [long(256, 128), long(257, 96), short(258, 8, 8, 8), short(259, compression), short(262, 2)]
        entries += [short(277, 3), long(278, 96)]
        at = 8 + 2 + 12 * 9 + 4 + 6
        head = files.tiff([*entries, long(273, at), long(279, 10**6)], b"")
        assert len(head) <= at
        with pytest.raises(CorruptPicture):
            decode(head.ljust(at, b"\0") + part, max_pixels=LIMIT)


def test_a_strip_outside_the_file_is_named() -> None:
    for start in (0, 4, 10**7):
        data = files.tiff_of(photo(), 2, strip_at=long(273, start), strip_bytes=long(279, 0))
        with pytest.raises(CorruptPicture, match="lies outside the file"):
            decode(data, max_pixels=LIMIT)


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_is_none(value: int) -> None:
    made = read(files.tiff_of(photo(), 2, short(274, value)))
    np.testing.assert_array_equal(made.pixels, photo())
