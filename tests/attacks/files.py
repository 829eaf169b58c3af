"""Files that people and scanners send to picture services, made in memory: hostile ones, and odd ones that are good.

`hostile()` maps a name to the bytes and the problem codes one of which must come back; `good()` maps a name to bytes
that must decode. Nothing here is random from run to run, and no file is larger than a few megabytes.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

NOT_A_PICTURE, CORRUPT, TOO_MANY = "not_a_picture", "corrupt_picture", "too_many_pixels"
Array = NDArray[Any]


class Hostile(NamedTuple):
    """A file and the problem codes that are a right answer to it."""

    data: bytes
    codes: frozenset[str]


# --- drawing -------------------------------------------------------------------------------------------------------


def photo(height: int = 96, width: int = 128, channels: int = 3, dtype: str = "uint8", seed: int = 0) -> Array:
    """(H, W, C): soft shapes with a little noise, all values in use."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [np.sin(5 * x * (c + 1) + 3 * y + seed) * np.cos(4 * y * (c + 1)) for c in range(channels)]
    value = np.stack(waves, -1) * 0.4 + 0.5 + rng.normal(0, 0.02, (height, width, channels))
    full = np.iinfo(dtype).max
    return (np.clip(value, 0, 1) * full + 0.5).astype(dtype)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def rgb(height: int = 96, width: int = 128, seed: int = 0) -> Image.Image:
    return Image.fromarray(photo(height, width, 3, seed=seed))


def rgba(height: int = 96, width: int = 128) -> Image.Image:
    return Image.fromarray(photo(height, width, 4))


def grey(height: int = 96, width: int = 128) -> Image.Image:
    return Image.fromarray(photo(height, width, 1)[:, :, 0])


# --- PNG by hand ---------------------------------------------------------------------------------------------------


def chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload), kind) + payload + struct.pack(">I", zlib.crc32(kind + payload))


def ihdr(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def png(header: bytes, *chunks: bytes, end: bytes = chunk(b"IEND", b"")) -> bytes:
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *chunks, end))


def rows(pixels: Array) -> bytes:
    """Unfiltered rows of an (H, W, C) picture, 16 bits big endian."""
    height = pixels.shape[0]
    flat = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    return np.hstack((np.zeros((height, 1), np.uint8), flat)).tobytes()


def idat(raw: bytes) -> bytes:
    return chunk(b"IDAT", zlib.compress(raw, 9))


def png_of(pixels: Array, *extra: bytes) -> bytes:
    """An (H, W, C) uint8 or uint16 picture, C = 1 to 4."""
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    return png(ihdr(width, height, 8 * pixels.dtype.itemsize, colour), *extra, idat(rows(pixels)))


def adam7(pixels: Array) -> bytes:
    """The rows of an interlaced PNG."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [pixels[y::dy, x::dx] for x, y, dx, dy in passes]
    return b"".join(rows(part) for part in parts if part.size)


def packed_zeros(size: int) -> bytes:
    """A zlib stream of so many zeros, of which one MiB is packed and repeated: after each the packer begins anew."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    mebibyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(size % (1 << 20))) + packer.flush()
    adler32 = struct.pack(">HH", size % 65521, 1)
    return b"".join((b"\x78\xda", mebibyte * (size >> 20), rest, adler32))


# --- JPEG, TIFF, EXIF and others by hand ---------------------------------------------------------------------------


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def jpeg_with(data: bytes, *segments: bytes) -> bytes:
    """Segments put in right behind the start of image."""
    return b"".join((data[:2], *segments, data[2:]))


def jpeg_sized(data: bytes, width: int, height: int) -> bytes:
    """The same file with another size in its frame header."""
    at = next(data.find(bytes((0xFF, sof))) for sof in (0xC0, 0xC2) if data.find(bytes((0xFF, sof))) > 0)
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def tiff(entries: list[tuple[int, int, int, bytes]], payload: bytes = b"") -> bytes:
    """Little endian, payload at 8, one directory behind it; each entry is (tag, type, count, value of any length)."""
    at = 8 + len(payload) + len(payload) % 2
    table, values = [struct.pack("<H", len(entries))], b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(values))
        values += value + b"\0" * (len(value) % 2) if len(value) > 4 else b""
        table.append(struct.pack("<HHI", tag, kind, count) + field)
    body = b"".join(table) + bytes(4) + values
    return b"II*\0" + struct.pack("<I", at) + payload.ljust(at - 8, b"\0") + body


def short(tag: int, *values: int) -> tuple[int, int, int, bytes]:
    return tag, 3, len(values), struct.pack(f"<{len(values)}H", *values)


def long(tag: int, *values: int) -> tuple[int, int, int, bytes]:
    return tag, 4, len(values), struct.pack(f"<{len(values)}I", *values)


def tiff_of(pixels: Array, photometric: int, *extra: tuple[int, int, int, bytes], **change: Any) -> bytes:
    """An uncompressed (H, W, C) picture in one strip; `change` replaces entries by name."""
    height, width, samples = pixels.shape
    payload = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    entries = {
        "width": long(256, width),
        "height": long(257, height),
        "bits": short(258, *[8 * pixels.dtype.itemsize] * samples),
        "compression": short(259, 1),
        "photometric": short(262, photometric),
        "strip_at": long(273, 8),
        "samples": short(277, samples),
        "strip_rows": long(278, height),
        "strip_bytes": long(279, len(payload)),
    }
    return tiff([*(entries | change).values(), *extra], payload)


def exif_block(orientation: int = 1, thumbnail: bytes = b"") -> bytes:
    """Camera, orientation, size, GPS; with a thumbnail in a second directory if given."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = "Lutra", "Camera 1", orientation
    exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003] = 100000, 50000
    exif.get_ifd(0x8825)[1] = "N"
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    if not thumbnail:
        return block
    order = "<" if block[:2] == b"II" else ">"
    block += b"\0" * (len(block) % 2)
    first = struct.unpack_from(order + "I", block, 4)[0]
    link = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    at = len(block)
    second = struct.pack(order + "H", 2)
    second += struct.pack(order + "HHII", 0x0201, 4, 1, at + 2 + 24 + 4)
    second += struct.pack(order + "HHII", 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    return block[:link] + struct.pack(order + "I", at) + block[link + 4 :] + second + thumbnail


def looping_exif() -> bytes:
    """A block whose directories point to themselves and whose entries all claim the whole block."""
    count = 1000
    size = 8 + 2 + 12 * count + 4
    entries = b"".join(struct.pack("<HHII", 0x9000 + i, 7, size - 8, 8) for i in range(count - 1))
    return (
        b"II*\0" + struct.pack("<IH", 8, count) + struct.pack("<HHII", 0x8769, 4, 1, 8) + entries + struct.pack("<I", 8)
    )


def webp_canvas(width: int, height: int) -> bytes:
    """An extended header."""
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X" + struct.pack("<IB3x", 10, 0) + sides


def _avif_sized(data: bytes, width: int, height: int) -> bytes:
    at = data.find(b"ispe")
    return data[: at + 8] + struct.pack(">II", width, height) + data[at + 16 :]


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("word/document.xml", "<document/>" * 50)
    return out.getvalue()


def _frames() -> list[Image.Image]:
    return [rgb(seed=0), rgb(seed=7)]


def _animation(kind: str) -> bytes:
    first, second = _frames()
    return saved(first, kind, save_all=True, append_images=[second], duration=100)


def _multi_picture() -> bytes:
    first, second = _frames()
    return saved(first, "MPO", save_all=True, append_images=[second])


# --- hostile -------------------------------------------------------------------------------------------------------


def _no_pictures() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "one byte", b"\xff"
    yield "two bytes of a JPEG", b"\xff\xd8"
    yield "text", b"this is not a picture\n" * 20
    yield "html", b"<!doctype html><html><body>hello</body></html>"
    yield "zip named jpg", _zip()
    yield "svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "svg with entities", b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><svg>&b;</svg>'
    yield "psd", b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, 8, 3) + bytes(400)
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "pdf", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF\n"
    for kind in ("PPM", "ICO", "TGA", "PCX", "JPEG2000", "DDS", "ICNS", "SGI"):
        yield kind.lower(), saved(rgb(32, 32), kind)
    yield "mp4", b"\0\0\0\x18ftypisom\0\0\2\0isommp41" + bytes(64)
    yield "big tiff", b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + bytes(64)
    yield "riff wave", b"RIFF\x24\0\0\0WAVEfmt " + bytes(28)
    yield "float tiff", tiff_of(photo(dtype="uint16"), 2, short(339, 3, 3, 3))
    yield "32-bit tiff", saved(Image.new("I", (8, 8), 70000), "TIFF")
    yield "32-bit float tiff", saved(Image.new("F", (8, 8), 0.5), "TIFF")
    yield "camera raw (DNG)", tiff_of(photo(), 2, (50706, 1, 4, b"\1\4\0\0"))
    yield "camera raw (mosaic)", tiff_of(photo(channels=1), 32803)
    data = saved(rgb(), "JPEG")
    at = data.find(b"\xff\xc0")
    yield "12-bit jpeg", data[: at + 4] + b"\x0c" + data[at + 5 :]
    yield "lossless jpeg", data[:at] + b"\xff\xc3" + data[at + 2 :]


def truncated(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The file cut at several places, from its header to its last bytes."""
    for percent in (8, 30, 50, 75, 95):
        yield f"{percent} %", data[: len(data) * percent // 100]
    yield "all but 16 bytes", data[:-16]


def whole_files() -> dict[str, bytes]:
    """One ordinary file of each format that can be cut anywhere."""
    files = {
        "jpeg": saved(rgb(), "JPEG", quality=90),
        "progressive jpeg": saved(rgb(), "JPEG", quality=90, progressive=True),
        "cmyk jpeg": saved(rgb().convert("CMYK"), "JPEG", quality=90),
        "png": saved(rgb(), "PNG"),
        "16-bit png": png_of(photo(dtype="uint16")),
        "interlaced png": png(ihdr(128, 96, interlace=1), idat(adam7(photo()))),
        "webp": saved(rgb(), "WEBP"),
        "lossless webp": saved(rgba(), "WEBP", lossless=True),
        "gif": saved(rgb().convert("P"), "GIF"),
        "tiff": saved(rgb(), "TIFF"),
        "lzw tiff": saved(rgb(), "TIFF", compression="tiff_lzw"),
        "bmp": saved(rgb(), "BMP"),
        "avif": saved(rgb(), "AVIF", speed=10),
    }
    heic = heic_file()
    return files | ({"heic": heic} if heic else {})


def heic_file() -> bytes | None:
    """None where pillow-heif is not installed."""
    try:
        import pillow_heif
    except ImportError:
        return None
    out = io.BytesIO()
    pillow_heif.from_pillow(rgb()).save(out, quality=90)
    return out.getvalue()


def _broken_png() -> Iterator[tuple[str, bytes]]:
    pixels = photo()
    head, body = ihdr(128, 96), idat(rows(pixels))
    good = png(head, body)
    yield "png says it is smaller", png(ihdr(16, 16), body)
    yield "png says it is larger", png(ihdr(1000, 1000), body)
    yield "png with a bad checksum", good[:-20] + bytes((good[-20] ^ 1,)) + good[-19:]
    yield "png with a bad header checksum", good[:20] + b"\1" + good[21:]
    yield "png with a broken stream", png(head, chunk(b"IDAT", zlib.compress(rows(pixels))[:300] + bytes(400)))
    yield "png with a bad stream checksum", png(head, chunk(b"IDAT", zlib.compress(rows(pixels))[:-1] + b"\0"))
    yield "png with an unknown filter", png(head, idat(b"".join(b"\x09" + bytes(384) for _ in range(96))))
    yield "png without data", png(head)
    yield "png without end", png(head, body, end=b"")
    yield "png of 300000 empty chunks", png(head, chunk(b"tEXt", b"") * 300_000, body)
    yield "png without a palette", png(ihdr(4, 4, 8, 3), idat(bytes(20)))
    yield "png of no width", png(ihdr(0, 96), body)
    yield "png of an unknown colour type", png(ihdr(128, 96, 8, 5), body)
    yield "png of 3 bits", png(ihdr(128, 96, 3, 0), body)
    yield "png whose chunk is longer than the file", good[:33] + struct.pack(">I4s", 2**31 - 1, b"IDAT") + good[41:]


def _broken_jpeg() -> Iterator[tuple[str, bytes]]:
    data = saved(rgb(256, 256), "JPEG", quality=95)
    middle = len(data) // 2
    noise = np.random.default_rng(3).bytes(600)
    yield "jpeg with a corrupt middle", data[:middle] + noise + data[middle + 600 :]
    yield "jpeg with an early end", data[:middle] + b"\xff\xd9" + data[middle:]
    yield "jpeg says it is smaller", jpeg_sized(data, 16, 16)
    yield "jpeg says it is larger", jpeg_sized(data, 2000, 2000)
    yield "jpeg of no height", jpeg_sized(data, 256, 0)
    yield "jpeg without a frame", b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + data[data.find(b"\xff\xda") :]
    yield "jpeg of two million fill bytes", data[:2] + b"\xff" * 2_000_000
    yield "jpeg of a million empty segments", data[:2] + b"\xff\xe5\0\2" * 1_000_000 + data[2:]
    yield "jpeg of 99000 empty segments", data[:2] + b"\xff\xe5\0\2" * 99_000 + data[2:]
    yield "jpeg of 65500 empty comments behind a profile", data[:20] + b"\xff\xfe\0\2" * 65_500 + data[20:]
    yield "jpeg of five million stray bytes", data[:20] + bytes(5_000_000) + data[20:]
    yield "jpeg without tables", data[:20] + data[data.find(b"\xff\xc0") :]
    progressive = saved(rgb(16, 16), "JPEG", progressive=True)
    scan = progressive.find(b"\xff\xda")
    end = progressive.find(b"\xff", scan + 2)
    yield "jpeg of a thousand scans", progressive[:scan] + progressive[scan:end] * 1000 + progressive[scan:]


def _broken_others() -> Iterator[tuple[str, bytes]]:
    webp = saved(rgb(), "WEBP")
    canvas = webp_canvas(50, 50)
    yield "webp says it is smaller", b"RIFF" + struct.pack("<I", len(webp) - 8 + 18) + b"WEBP" + canvas + webp[12:]
    yield "webp longer than the file", webp[:4] + struct.pack("<I", 2**31) + webp[8:]
    empty = b"".join((webp_canvas(128, 96), b"XMP \0\0\0\0" * 200_000, webp[12:]))
    yield "webp of 200000 empty chunks", b"RIFF" + struct.pack("<I", 4 + len(empty)) + b"WEBP" + empty
    yield "webp without a picture", b"RIFF" + struct.pack("<I", 22) + b"WEBP" + canvas
    gif = saved(rgb().convert("P"), "GIF")
    yield "gif whose frame is larger than its screen", gif[:6] + struct.pack("<HH", 10, 10) + gif[10:]
    at = len(gif) // 2
    yield "gif with a broken stream", gif[:at] + bytes(range(256)) + gif[at + 256 :]
    yield "gif of a million empty comments", gif[:13] + gif[13 : 13 + 768] + b"!\xfe\0" * 1_000_000 + gif[781:]
    yield "gif that is a script", b"GIF89a/*" + bytes(40) + b"*/=1;alert(1)//"
    bmp = saved(rgb(), "BMP")
    yield "bmp whose pixels lie outside", bmp[:10] + struct.pack("<I", 10**9) + bmp[14:]
    yield "bmp of 7 bits", bmp[:28] + struct.pack("<H", 7) + bmp[30:]
    run = bmp[:28] + struct.pack("<HI", 8, 1) + bmp[34:54] + bytes(1024) + b"\0\2\0\0" * 500
    yield "bmp of empty runs", run
    large = saved(Image.new("RGB", (3000, 3000), (10, 200, 30)), "AVIF", speed=10)
    yield "avif says it is smaller", _avif_sized(large, 100, 100)
    yield "avif without items", saved(rgb(), "AVIF")[:40] + bytes(200)


def _broken_tiff() -> Iterator[tuple[str, bytes]]:
    pixels = photo()
    yield "tiff without directory", b"II*\0" + struct.pack("<I", 10**6) + bytes(64)
    yield "tiff without entries", tiff([long(256, 0), short(262, 2), short(258, 8, 8, 8)])
    yield "tiff whose strip lies outside", tiff_of(pixels, 2, strip_at=long(273, 10**7))
    yield (
        "tiff whose strip is empty and lies outside",
        tiff_of(pixels, 2, strip_at=long(273, 10**7), strip_bytes=long(279, 0)),
    )
    yield "tiff whose strip is too short", tiff_of(pixels, 2, strip_bytes=long(279, 1000))
    yield "tiff with too few strips", tiff_of(pixels, 2, strip_rows=long(278, 1))
    yield "tiff with a billion strips", tiff_of(pixels, 2, strip_at=(273, 4, 10**9, b"\x08\0\0\0"))
    yield "tiff with strips of no rows", tiff_of(pixels, 2, strip_rows=long(278, 0))
    tile = (long(322, 60000), long(323, 60000), long(324, 8), long(325, 100))
    yield "tiff with a huge tile", tiff_of(pixels, 2, *tile)
    yield "tiff of 60000 samples", tiff_of(pixels, 2, samples=short(277, 60000))
    yield "tiff with a broken stream", tiff_of(pixels, 2, compression=short(259, 8))
    yield (
        "tiff whose stream is too short",
        tiff(
            [
                long(256, 128),
                long(257, 96),
                short(258, 8, 8, 8),
                short(259, 8),
                short(262, 2),
                long(273, 8),
                short(277, 3),
                long(278, 96),
                long(279, len(zlib.compress(bytes(500)))),
            ],
            zlib.compress(bytes(500)),
        ),
    )
    inner = jpeg_sized(saved(rgb(), "JPEG"), 65000, 65000)
    entries = [long(256, 128), long(257, 96), short(258, 8, 8, 8), short(259, 7), short(262, 6), long(273, 8)]
    entries += [short(277, 3), long(278, 96), long(279, len(inner))]
    yield "tiff with a huge jpeg inside", tiff(entries, inner)
    yield "tiff whose entries share their bytes", _sharing_entries()
    yield "tiff of 500000 strips that share their bytes", _strips(500_000, 1, 3)
    yield "tiff of 100000 strips of two pixels", _strips(100_000, 2, 6)
    yield "tiff of 9000 strips that each claim the whole file", _strips(9_000, 100, 72_000)
    yield "tiff of 400000 tiles of one pixel", _small_tiles()


def _strips(count: int, width: int, size_bytes: int) -> bytes:
    """RGB of one row a strip; all strips are the same bytes."""
    shape = [long(256, width), long(257, count), short(258, 8, 8, 8), short(259, 1), short(262, 2), short(277, 3)]
    return tiff([*shape, long(278, 1), long(273, *[8] * count), long(279, *[size_bytes] * count)], bytes(size_bytes))


def _small_tiles() -> bytes:
    count = 400_000
    shape = [long(256, 1000), long(257, 400), short(258, 8, 8, 8), short(259, 1), short(262, 2), short(277, 3)]
    return tiff([*shape, long(322, 1), long(323, 1), long(324, *[8] * count), long(325, *[3] * count)], bytes(3))


def _sharing_entries() -> bytes:
    """A thousand entries, each of which claims the whole file."""
    size = 10**6
    count = 1000
    entries = b"".join(struct.pack("<HHII", 40000 + i, 7, size - 8, 8) for i in range(count))
    return (b"II*\0" + struct.pack("<IH", 8, count) + entries).ljust(size, b"\0")


def _bombs() -> Iterator[tuple[str, bytes]]:
    yield "png bomb of 30000x30000", png(ihdr(30000, 30000, 1, 0), chunk(b"IDAT", packed_zeros(30000 * 3751)))
    yield "png of 2**31-1 pixels a side", png(ihdr(2**31 - 1, 2**31 - 1), idat(bytes(100)))
    yield "jpeg of 65500x65500", jpeg_sized(saved(rgb(), "JPEG"), 65500, 65500)
    yield "gif of 65535x65535", b"GIF89a" + struct.pack("<HH", 65535, 65535) + saved(rgb().convert("P"), "GIF")[10:]
    bmp = saved(rgb(), "BMP")
    yield "bmp of 2**31 pixels a side", bmp[:18] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + bmp[26:]
    yield "bmp of negative width", bmp[:18] + struct.pack("<i", -128) + bmp[22:]
    webp = saved(rgb(), "WEBP")
    canvas = webp_canvas(16383, 16383)
    yield "webp says it is larger", b"RIFF" + struct.pack("<I", len(webp) - 8 + 18) + b"WEBP" + canvas + webp[12:]
    yield "tiff of 2**32-1 pixels a side", tiff_of(photo(), 2, width=long(256, 2**32 - 1), height=long(257, 2**32 - 1))
    yield "avif says it is larger", _avif_sized(saved(rgb(), "AVIF", speed=10), 16000, 16000)


@lru_cache(maxsize=1)
def hostile() -> dict[str, Hostile]:
    """Every hostile file by name."""
    found = {name: Hostile(data, frozenset({NOT_A_PICTURE})) for name, data in _no_pictures()}
    for source in (_broken_png, _broken_jpeg, _broken_others, _broken_tiff):
        found |= {name: Hostile(data, frozenset({CORRUPT})) for name, data in source()}
    found |= {name: Hostile(data, frozenset({TOO_MANY, CORRUPT})) for name, data in _bombs()}
    for kind, data in whole_files().items():
        for where, part in truncated(data):
            found[f"{kind} cut at {where}"] = Hostile(part, frozenset({CORRUPT}))
    return found


# --- large in one way and small in bytes ---------------------------------------------------------------------------


def _tall(samples: int, photometric: int, dtype: str, *extra: tuple[int, int, int, bytes]) -> bytes:
    """1 x 1,000,000 pixels in a few kilobytes: one strip, deflate."""
    size = np.dtype(dtype).itemsize
    packed = zlib.compress(bytes(1_000_000 * samples * size), 9)
    shape = [long(256, 1), long(257, 1_000_000), short(258, *[8 * size] * samples), short(259, 8)]
    shape += [short(262, photometric), short(277, samples), long(278, 1_000_000), long(273, 8), long(279, len(packed))]
    return tiff([*shape, *extra], packed)


def _long_values(tag: int) -> bytes:
    """A picture whose entry has two million values where a few are right."""
    change = {"bits": short(tag, *[8] * 2_000_000)} if tag == 258 else {"again": short(tag, *[0] * 2_000_000)}
    return tiff_of(photo(), 2, **change)


@lru_cache(maxsize=1)
def elongated() -> dict[str, bytes]:
    """Good files of a million pixels or values in one direction: their cost is that of as many pixels in a square."""
    palette = short(320, *[v << 8 for v in range(256)] * 3)
    return {
        "tall premultiplied tiff": _tall(4, 2, "uint8", short(338, 1)),
        "tall premultiplied tiff of 16 bits": _tall(4, 2, "uint16", short(338, 1)),
        "tall premultiplied grey tiff": _tall(2, 1, "uint8", short(338, 1)),
        "tall lab tiff": _tall(3, 8, "uint8"),
        "tall lab tiff of 16 bits": _tall(3, 8, "uint16"),
        "tall cmyk tiff": _tall(4, 5, "uint8"),
        "tall palette tiff": _tall(1, 3, "uint8", palette),
        "tiff of 16000 strips": _strips(16_000, 1, 3),
        "tiff of two million bit depths": _long_values(258),
        "tiff of two million extra samples": _long_values(338),
        "tiff of two million sample formats": tiff_of(photo(), 2, short(339, *[1] * 2_000_000)),
        "png of 45000 empty chunks": png(ihdr(128, 96), chunk(b"tEXt", b"") * 45_000, idat(rows(photo()))),
    }


# --- odd but good --------------------------------------------------------------------------------------------------


def orientations() -> dict[int, bytes]:
    """The same upright picture, stored in each of the eight ways."""
    upright = Image.fromarray(np.repeat(np.repeat(photo(6, 8), 16, 0), 16, 1))
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = {1: upright} | {value: upright.transpose(method) for value, method in turn.items()}
    return {
        value: saved(image, "JPEG", quality=95, exif=b"Exif\0\0" + exif_block(value)) for value, image in stored.items()
    }


def _odd_png() -> Iterator[tuple[str, bytes]]:
    for channels, name in ((1, "grey"), (2, "grey and alpha"), (3, "rgb"), (4, "rgba")):
        yield f"16-bit {name} png", png_of(photo(channels=channels, dtype="uint16"))
        yield f"8-bit {name} png", png_of(photo(channels=channels))
        yield (
            f"interlaced {name} png",
            png(ihdr(128, 96, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 1), idat(adam7(photo(channels=channels)))),
        )
    yield "1-bit png", saved(grey().convert("1"), "PNG")
    for depth in (1, 2, 4):
        raw = b"".join(bytes((0, *range(y, y + 9 * depth))) for y in range(16))
        yield f"{depth}-bit grey png", png(ihdr(72, 16, depth, 0), idat(raw))
    yield "palette png", saved(rgb().convert("P"), "PNG")
    yield "palette png with transparency", saved(rgb().convert("P"), "PNG", transparency=3)
    yield (
        "palette png with many transparencies",
        saved(rgb().quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
    )
    yield "rgb png with a transparent colour", png_of(photo(), chunk(b"tRNS", struct.pack(">HHH", *photo()[5, 5])))
    yield "16-bit png with a transparent grey", png_of(photo(channels=1, dtype="uint16"), chunk(b"tRNS", b"\x12\x34"))
    yield "fully transparent png", saved(Image.new("RGBA", (40, 30), (200, 10, 10, 0)), "PNG")
    yield "1x1", saved(rgb(1, 1), "PNG")
    yield "20000x1", saved(rgb(1, 20000), "PNG")
    yield "1x20000", saved(rgb(20000, 1), "PNG")
    yield "animated png", _animation("PNG")
    many = b"".join(chunk(b"IDAT", part) for part in _pieces(zlib.compress(rows(photo())), 7))
    yield "png in many small chunks", png(ihdr(128, 96), many)
    yield "png with an empty data chunk", png(ihdr(128, 96), chunk(b"IDAT", b""), idat(rows(photo())))
    yield "png with trailing garbage", saved(rgb(), "PNG") + b"garbage" * 9
    yield "png with an icc bomb", png_of(photo(), chunk(b"iCCP", b"bomb\0\0" + packed_zeros(2**28)))
    yield "png with a text bomb", png_of(photo(), chunk(b"zTXt", b"bomb\0\0" + packed_zeros(2**28)))
    yield "png with an exif bomb", png_of(photo(), chunk(b"eXIf", b"II*\0\x08\0\0\0" + bytes(3 * 2**20)))
    yield "png with a looping exif", png_of(photo(), chunk(b"eXIf", looping_exif()))
    yield "png with a broken icc profile", png_of(photo(), chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile" * 50)))
    yield "png with a page in it", png_of(photo(), chunk(b"tEXt", b"Comment\0<script>alert(1)</script>"))


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def _odd_jpeg() -> Iterator[tuple[str, bytes]]:
    plain = saved(rgb(), "JPEG", quality=90)
    for value, data in orientations().items():
        yield f"jpeg of orientation {value}", data
    yield "grey jpeg", saved(grey(), "JPEG")
    yield "cmyk jpeg", saved(rgb().convert("CMYK"), "JPEG", quality=95)
    yield "progressive jpeg", saved(rgb(), "JPEG", progressive=True)
    yield "jpeg at half colour resolution", saved(rgb(95, 127), "JPEG", subsampling=2)
    yield "jpeg with restart marks", saved(rgb(), "JPEG", restart_marker_blocks=4)
    yield "jpeg of rgb components", saved(rgb(), "JPEG", keep_rgb=True)
    yield "jpeg with trailing garbage", plain + b"garbage \xff\xd8\xff\xda" * 99
    yield "jpeg with trailing zeros", plain + bytes(5000)
    yield "jpeg that is also a zip", plain + _zip()
    yield "jpeg with a stray byte before its end", plain[:-2] + b"\0" + plain[-2:]
    yield "jpeg with fill bytes", plain[:2] + b"\xff" * 5 + plain[2:]
    yield "multi-picture jpeg", _multi_picture()
    yield "jpeg with a thumbnail", saved(rgb(), "JPEG", exif=b"Exif\0\0" + exif_block(1, saved(rgb(24, 32), "JPEG")))
    yield "jpeg with a looping exif", jpeg_with(plain, segment(0xE1, b"Exif\0\0" + looping_exif()))
    yield "jpeg with a broken exif", jpeg_with(plain, segment(0xE1, b"Exif\0\0nonsense"))
    yield "jpeg with an empty exif", jpeg_with(plain, segment(0xE1, b"Exif\0\0"))
    yield "jpeg with half a profile", jpeg_with(plain, segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(500)))
    yield "1x1 jpeg", saved(rgb(1, 1), "JPEG")
    yield "20000x1 jpeg", saved(rgb(1, 20000), "JPEG")
    yield "1x20000 jpeg", saved(rgb(20000, 1), "JPEG")


def _odd_others() -> Iterator[tuple[str, bytes]]:
    for kind in ("GIF", "WEBP"):
        yield f"animated {kind.lower()}", _animation(kind)
    yield "transparent gif", saved(rgb().convert("P"), "GIF", transparency=3)
    controls = b"!\xf9\x04\x01\x0a\0\xff\0!\xf9\x04\0\x0a\0\0\0"
    plain = saved(rgb().convert("P"), "GIF")
    yield "gif with two graphic controls", plain[:781] + controls + plain[plain.find(b",\0\0\0\0", 781) :]
    yield from _odd_webp()
    yield "gif without its last byte", saved(rgb().convert("P"), "GIF")[:-1]
    yield "lossless webp with alpha", saved(rgba(), "WEBP", lossless=True)
    yield "lossy webp with alpha", saved(rgba(), "WEBP")
    yield "fully transparent webp", saved(Image.new("RGBA", (40, 30), (200, 10, 10, 0)), "WEBP")
    yield "avif with alpha", saved(rgba(), "AVIF", speed=10)
    yield "grey avif", saved(grey(), "AVIF", speed=10)
    yield "bmp", saved(rgb(), "BMP")
    yield "1-bit bmp", saved(grey().convert("1"), "BMP")
    yield "palette bmp", saved(rgb().convert("P"), "BMP")
    yield "32-bit bmp", saved(rgba(), "BMP")
    heic = heic_file()
    if heic:
        yield "heic", heic


def _odd_webp() -> Iterator[tuple[str, bytes]]:
    """Files of two pictures, of which the first chunk says which counts."""
    lossy, lossless = saved(rgb(), "WEBP")[12:], saved(rgba(), "WEBP", lossless=True)[12:]
    extended = saved(rgb(), "WEBP", exif=exif_block())[12:]
    for name, body in {
        "lossless webp before a lossy one": lossless + lossy,
        "lossy webp before a lossless one": lossy + lossless,
        "webp before an extended one": lossless + extended,
    }.items():
        yield name, b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _odd_tiff() -> Iterator[tuple[str, bytes]]:
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "raw"):
        yield f"{compression} tiff", saved(rgb(), "TIFF", compression=compression)
    for mode in ("1", "L", "LA", "P", "RGBA", "CMYK", "LAB"):
        image = Image.merge("LAB", rgb().split()) if mode == "LAB" else rgba().convert("RGB").convert(mode)
        yield f"{mode} tiff", saved(rgba() if mode == "RGBA" else image, "TIFF")
    yield "group 4 tiff", saved(grey().convert("1"), "TIFF", compression="group4")
    for channels, name, photometric in ((1, "grey", 1), (3, "rgb", 2)):
        yield f"16-bit {name} tiff", tiff_of(photo(channels=channels, dtype="uint16"), photometric)
    yield "16-bit rgba tiff", tiff_of(photo(channels=4, dtype="uint16"), 2, short(338, 2))
    yield "premultiplied tiff", tiff_of(photo(channels=4), 2, short(338, 1))
    yield "16-bit cmyk tiff", tiff_of(photo(channels=4, dtype="uint16"), 5)
    yield "16-bit lab tiff", tiff_of(photo(dtype="uint16"), 8)
    yield "white is zero tiff", tiff_of(photo(channels=1), 0)
    yield "many-page tiff", saved(rgb(), "TIFF", save_all=True, append_images=[rgb(seed=7)])
    looping = tiff_of(photo(), 2)
    at = struct.unpack_from("<I", looping, 4)[0]
    link = at + 2 + 12 * struct.unpack_from("<H", looping, at)[0]
    yield "tiff whose directories loop", looping[:link] + struct.pack("<I", at) + looping[link + 4 :]
    yield "tiff whose exif is itself", tiff_of(photo(), 2, long(34665, at), long(34853, at))


@lru_cache(maxsize=1)
def good() -> dict[str, bytes]:
    """Every odd but good file by name."""
    sources = (_odd_png, _odd_jpeg, _odd_others, _odd_tiff)
    return {name: data for source in sources for name, data in source()}
