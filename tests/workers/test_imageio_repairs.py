"""Files that break a rule and lack nothing decode to the right pixels; those of the same kind that lack some do not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.attacks import files, jpegs
from tests.attacks.files import chunk, long, photo, short
from workers.errors import CorruptPicture
from workers.pictures.imageio import Picture, decode, probe

LIMIT = 1_000_000


def read(data: bytes) -> Picture:
    header, made = probe(data), decode(data, max_pixels=LIMIT)
    assert made.pixels.shape[:2] == (header.height, header.width)
    return made


# --- JPEG: sampling ------------------------------------------------------------------------------------------------

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


# --- JPEG: warnings that lose no pixels ----------------------------------------------------------------------------


def _plain() -> bytes:
    return files.saved(files.rgb(), "JPEG", quality=90)


def _at(data: bytes, marker: int) -> int:
    return data.find(bytes((0xFF, marker)))


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


# --- PNG -----------------------------------------------------------------------------------------------------------


def _png(raw: bytes, *before: bytes, colour: int = 2, depth: int = 8, interlace: int = 0) -> bytes:
    return files.png(files.ihdr(128, 96, depth, colour, interlace), *before, files.idat(raw))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("surplus", [1, 4, 200, 384])
def test_less_than_a_row_too_much_image_data_is_no_damage(
    surplus: int, interlace: int, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = photo()
    raw = files.adam7(pixels) if interlace else files.rows(pixels)
    np.testing.assert_array_equal(read(_png(raw + bytes(surplus), interlace=interlace)).pixels, pixels)
    assert capfd.readouterr() == ("", "")


def test_a_surplus_keeps_palette_and_transparency() -> None:
    palette, levels = bytes(range(48)), bytes(range(0, 256, 16))
    indices = np.arange(96 * 128).reshape(96, 128, 1) % 16
    raw = files.rows(indices.astype(np.uint8)) + b"more"
    made = read(_png(raw, chunk(b"PLTE", palette), chunk(b"tRNS", levels), colour=3))
    np.testing.assert_array_equal(made.pixels, np.frombuffer(palette, np.uint8).reshape(16, 3)[indices[:, :, 0]])
    np.testing.assert_array_equal(made.alpha, np.frombuffer(levels, np.uint8)[indices[:, :, 0]])


@pytest.mark.parametrize("other", [-385, -4, -1, 385, 4000])
def test_other_amounts_of_image_data_are_damage(other: int) -> None:
    raw = files.rows(photo())
    with pytest.raises(CorruptPicture, match="more or less"):
        decode(_png(raw[:other] if other < 0 else raw + bytes(other)), max_pixels=LIMIT)


def _packed(values: Any, depth: int) -> bytes:
    """Rows of 1, 2, 4 or 8 bits a pixel, unfiltered."""
    bits = np.unpackbits(values.astype(np.uint8)[:, :, None], axis=2)[:, :, 8 - depth :].reshape(len(values), -1)
    packed = np.packbits(bits, axis=1)
    return np.hstack((np.zeros((len(values), 1), np.uint8), packed)).tobytes()


_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@pytest.mark.parametrize(("interlace", "high_bits"), [(0, 0), (1, 0), (1, 0xAB00)])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_is_found_at_every_depth(depth: int, interlace: int, high_bits: int) -> None:
    """Only the low bits of the level count (PNG, section 11.3.1.1)."""
    values, full = photo(96, 128, 1)[:, :, 0] >> (8 - depth), (1 << depth) - 1
    level = int(values[5, 5])
    parts = [values[y::dy, x::dx] for x, y, dx, dy in (_PASSES if interlace else ((0, 0, 1, 1),))]
    raw = b"".join(_packed(part, depth) for part in parts)
    transparent = chunk(b"tRNS", struct.pack(">H", high_bits | level))
    made = read(_png(raw, transparent, colour=0, depth=depth, interlace=interlace))
    np.testing.assert_array_equal(made.pixels[:, :, 0], values.astype(int) * 255 // full)
    np.testing.assert_array_equal(made.alpha, np.where(values == level, 0, 255))


# --- GIF and BMP ---------------------------------------------------------------------------------------------------


def _part_of_gif(*, transparent: int | None = None, second: bool = False) -> tuple[bytes, Any]:
    """A screen of 60 x 40 whose background is red, and a frame of 20 x 15 at 20, 10; and the frame's RGB."""
    frame = files.rgb(15, 20).quantize(16)
    options: dict[str, Any] = {} if transparent is None else {"transparency": transparent}
    options |= {"save_all": True, "append_images": [files.rgb(15, 20, seed=7).quantize(16)]} if second else {}
    data = bytearray(files.saved(frame, "GIF", **options))
    colours = np.array(frame.convert("RGB"))
    data[6:10] = struct.pack("<HH", 60, 40)
    data[11] = 3  # background colour
    at = data.index(b",\0\0\0\0\x14\0\x0f\0")
    data[at + 1 : at + 5] = struct.pack("<HH", 20, 10)
    return bytes(data), colours


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("transparent", [None, 5])
def test_a_gif_is_transparent_where_its_frame_does_not_draw(transparent: int | None, second: bool) -> None:
    data, colours = _part_of_gif(transparent=transparent, second=second)
    assert probe(data).has_alpha
    made = read(data)
    inside = np.s_[10:25, 20:40]
    assert made.alpha is not None and made.alpha.shape == (40, 60)
    outside = np.ones((40, 60), bool)
    outside[inside] = False
    assert not made.alpha[outside].any()
    visible = made.alpha[inside] == 255
    assert visible.all() == (transparent is None) and visible.any()
    np.testing.assert_array_equal(made.pixels[inside][visible], colours[visible])


def test_a_gif_whose_frame_covers_all_has_no_alpha() -> None:
    data = files.saved(files.rgb().convert("P"), "GIF")
    assert not probe(data).has_alpha and read(data).alpha is None


def test_a_gif_whose_frame_is_empty_is_damaged() -> None:
    data, _ = _part_of_gif()
    at = data.index(b",") if data.count(b",") == 1 else data.index(struct.pack("<cHHHH", b",", 20, 10, 20, 15))
    with pytest.raises(CorruptPicture, match="0x15"):
        decode(data[: at + 5] + b"\0\0" + data[at + 7 :], max_pixels=LIMIT)


def _bmp(pixels: Any, *, size: int = 108) -> bytes:
    """32 bits with a mask for alpha, bottom up; `size` of the header: 56 (version 3), 108 (4) or 124 (5)."""
    height, width = pixels.shape[:2]
    body = np.ascontiguousarray(pixels[::-1, :, [2, 1, 0, 3]]).tobytes()
    head = struct.pack("<IiiHHIIiiII", size, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    head += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = head.ljust(size, b"\0")
    return b"BM" + struct.pack("<IHHI", 14 + size + len(body), 0, 0, 14 + size) + head + body


@pytest.mark.parametrize("size", [56, 108, 124])
def test_a_bmp_whose_alpha_is_0_everywhere_has_none(size: int) -> None:
    pixels = photo(20, 30, 4)
    pixels[:, :, 3] = 0
    made = read(_bmp(pixels, size=size))
    assert made.alpha is None
    np.testing.assert_array_equal(made.pixels, pixels[:, :, :3])


@pytest.mark.parametrize("size", [56, 108, 124])
def test_where_one_pixel_has_alpha_all_alpha_counts(size: int) -> None:
    pixels = photo(20, 30, 4)
    pixels[:, :, 3] = 0
    pixels[7, 9, 3] = 1
    np.testing.assert_array_equal(read(_bmp(pixels, size=size)).alpha, pixels[:, :, 3])


# --- TIFF ----------------------------------------------------------------------------------------------------------

_PACKERS: dict[int, Callable[[bytes], bytes]] = {1: bytes, 8: zlib.compress, 32946: zlib.compress}


def _lzw(data: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.lzw_encode(data))


def _packbits(data: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.packbits_encode(np.frombuffer(data, np.uint8)))


_PACKERS |= {5: _lzw, 32773: _packbits}


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
