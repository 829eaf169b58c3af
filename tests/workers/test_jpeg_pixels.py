"""JPEGs as cameras and old programs write them: of any sampling, and with faults that cost no pixel."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.attacks import files, jpegs
from tests.attacks.files import photo
from workers.errors import CorruptPicture
from workers.pictures.imageio import Picture, decode, probe

LIMIT = 1_000_000


def read(data: bytes) -> Picture:
    header, made = probe(data), decode(data, max_pixels=LIMIT)
    assert made.pixels.shape[:2] == (header.height, header.width)
    return made


_UNNAMED: list[jpegs.Factors] = [
    ((3, 1), (1, 1), (1, 1)),
    ((1, 3), (1, 1), (1, 1)),
    ((3, 2), (1, 1), (1, 1)),
    ((4, 2), (1, 1), (1, 1)),
    ((4, 4), (1, 1), (1, 1)),
    ((2, 2), (2, 2), (2, 2)),
    ((2, 2), (1, 1), (1, 2)),
    ((2, 2), (2, 1), (1, 1)),
    ((1, 1), (2, 1), (1, 1)),
    ((1, 1), (2, 2), (2, 2)),
    ((2, 1), (1, 2), (1, 2)),
    ((4, 1), (2, 1), (1, 1)),
]
_NAMED: list[jpegs.Factors] = [((1, 1),) * 3, ((2, 1),) * 3, ((2, 2), (1, 1), (1, 1)), ((4, 1), (1, 1), (1, 1))]


def ycc(height: int = 61, width: int = 83) -> Any:
    return np.array(Image.fromarray(photo(height, width)).convert("YCbCr"))


@pytest.mark.parametrize(
    ("factors", "interleaved"),
    [
        (factors, interleaved)
        for factors in _UNNAMED + _NAMED
        for interleaved in (True, False)
        if not interleaved or sum(h * v for h, v in factors) <= 10  # more T.81 does not allow in a unit
    ],
)
def test_a_jpeg_of_any_sampling_that_libjpeg_reads_is_read(
    factors: jpegs.Factors, interleaved: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    data = jpegs.written(ycc(), factors, interleaved=interleaved)
    made = read(data)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_allclose(made.pixels.astype(int), np.asarray(image.convert("RGB")).astype(int), atol=1)
    for end in (len(data) // 2, len(data) * 9 // 10, len(data) - 40):
        for tail in (b"", b"\xff\xd9"):
            with pytest.raises(CorruptPicture):
                decode(data[:end] + tail, max_pixels=LIMIT)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("factors", [((3, 1), (1, 1), (1, 1), (3, 1)), ((2, 2), (1, 1), (1, 1), (2, 2)), ((1, 1),) * 4])
def test_inks_of_any_sampling_are_read(factors: jpegs.Factors) -> None:
    inks = 255 - photo(64, 96, 4)
    data = jpegs.written(255 - inks, factors)
    made = read(data)
    light = (255 - inks[:, :, :3].astype(float)) * (255 - inks[:, :, 3:]) / 255
    assert np.abs(made.pixels - light).mean() < 8


def test_one_component_of_any_sampling_is_grey() -> None:
    grey = photo(61, 83, 1)
    for factors in (((3, 3),), ((2, 1),), ((4, 4),)):
        made = read(jpegs.written(grey, factors))
        assert made.pixels.shape[2] == 1
        assert np.abs(made.pixels.astype(int) - grey).mean() < 4


def _plain() -> bytes:
    return files.saved(files.rgb(), "JPEG", quality=90)


def _scan(data: bytes, change: bytes) -> bytes:
    """All scan headers with other Ss, Se, Ah and Al."""
    at = 0
    while (at := data.find(b"\xff\xda", at)) >= 0:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        data, at = data[: end - 3] + change + data[end:], end
    return data


def _version(data: bytes) -> bytes:
    return data[:11] + b"\x07\x01" + data[13:]


def _adobe(data: bytes) -> bytes:
    return data[:2] + files.segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09") + data[2:]


def _before(marker: int, stray: bytes) -> Callable[[bytes], bytes]:
    def put(data: bytes) -> bytes:
        at = data.rfind(bytes((0xFF, marker)))
        return data[:at] + stray + data[at:]

    return put


def _bad_icc(data: bytes) -> bytes:
    return files.jpeg_with(data, files.segment(0xE2, b"ICC_PROFILE\0\3\2" + bytes(100)))


_HARMLESS: dict[str, Callable[[bytes], bytes]] = {
    "a scan that says Se = 0": lambda data: _scan(data, b"\0\0\0"),
    "a scan that says Ss = 1, Ah = 1, Al = 2": lambda data: _scan(data, b"\1\x3f\x12"),
    "an unknown JFIF version": _version,
    "an unknown Adobe transform": _adobe,
    "a damaged profile": _bad_icc,
    "stray bytes before the tables": _before(0xDB, bytes(300)),
    "stray bytes before the frame": _before(0xC0, b"\x01\x02\x03" * 5000),
    "stray bytes before the scan": _before(0xDA, b"stray"),
    "stray bytes before the end": _before(0xD9, b"\0" * 9),
    "several of these": lambda data: _before(0xD9, b"\0\1")(_version(_bad_icc(_scan(data, b"\0\0\0")))),
}


@pytest.mark.parametrize("kind", _HARMLESS)
def test_what_libjpeg_only_warns_of_costs_no_pixel(kind: str) -> None:
    data = _plain()
    odd = _HARMLESS[kind](data)
    assert odd != data
    np.testing.assert_array_equal(read(odd).pixels, read(data).pixels)


@pytest.mark.parametrize("kind", _HARMLESS)
def test_it_does_not_hide_that_pixels_are_missing(kind: str) -> None:
    data, mend = _plain(), _HARMLESS[kind]
    middle = len(data) * 3 // 4
    noise = np.random.default_rng(3).bytes(200).replace(b"\xff", b"\xfe")
    for broken in (data[:middle] + b"\xff\xd9", data[:middle] + noise + data[middle + 200 :]):
        with pytest.raises(CorruptPicture):
            decode(mend(broken), max_pixels=LIMIT)
    with pytest.raises(CorruptPicture):
        decode(mend(data)[:-60], max_pixels=LIMIT)


@pytest.mark.parametrize("change", [b"\0\0\0", b"\5\6\x11"])
def test_each_scan_of_a_sequential_jpeg_may_say_what_it_likes(change: bytes) -> None:
    data = jpegs.written(ycc(), ((2, 2), (1, 1), (1, 1)), interleaved=False)
    np.testing.assert_array_equal(read(_scan(data, change)).pixels, read(data).pixels)


@pytest.mark.parametrize("factors", [((2, 2), (1, 1), (1, 1)), ((3, 1), (1, 1), (1, 1))])
def test_a_few_bytes_behind_each_scan_cost_no_pixel(factors: jpegs.Factors) -> None:
    clean = jpegs.written(ycc(), factors, interleaved=False)
    odd = jpegs.written(ycc(), factors, interleaved=False, between=b"\x12\x34\x56")
    np.testing.assert_array_equal(read(odd).pixels, read(clean).pixels)
    with pytest.raises(CorruptPicture):
        decode(jpegs.written(ycc(), factors, interleaved=False, between=bytes(5000)), max_pixels=LIMIT)
