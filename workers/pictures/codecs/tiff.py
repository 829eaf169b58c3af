"""TIFF: first directory, pixels through tifffile at 8 and 16 bits, and a plain writer (strips, deflate, predictor).

Float, signed and 32-bit samples, camera raw files, BigTIFF and subsampled YCbCr without JPEG are refused. The directory
is read in `tiff_layout`. Source: TIFF 6.0 (1992); Adobe TIFF technical notes
(2002, deflate); ICC.1:2010 annex B.3.
"""

from __future__ import annotations

import io
import logging
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workers.errors import CorruptPicture
from workers.pictures.codecs import exif
from workers.pictures.codecs.exif import Entry, Ifd
from workers.pictures.codecs.tiff_layout import (
    BITS,
    BLACK_IS_ZERO,
    COLOURS,
    COMPRESSION,
    DEFLATE,
    EXTRA,
    HEIGHT,
    ICC,
    JPEG,
    LAB,
    MOST,
    ORIENTATION,
    PALETTE,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    PREMULTIPLIED,
    RGB,
    SAMPLES,
    STRIP_AT,
    STRIP_BYTES,
    STRIP_ROWS,
    UNASSOCIATED,
    WHITE_IS_ZERO,
    WIDTH,
    Layout,
    Segments,
    numbers,
    read_layout,
    segments,
)
from workers.pictures.picture import MAX_ICC_BYTES, Header, Scan, turned

if TYPE_CHECKING:
    from workers.pictures.picture import Pixels

MAX_SIDE = 2**32 - 1
_BAND_PIXELS = 100_000
# Of the first directory what says something about the photo and not about this file.
_DESCRIPTIVE = frozenset({270, 271, 272, 305, 306, 315, 316, 18246, 33432})
_RESOLUTION = frozenset({282, 283, 296})


def matches(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*")


def read_header(data: bytes) -> Header:
    layout = read_layout(data)
    width, height = turned(layout.width, layout.height, layout.orientation)
    grey = layout.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    depth = 16 if layout.bits > 8 else 8
    lossy = layout.compression == JPEG
    return Header("tiff", width, height, depth, has_alpha=layout.alpha is not None, is_grey=grey, lossy=lossy)


def decode(data: bytes) -> Scan:
    layout = read_layout(data)
    samples = _samples(data, layout, segments(layout, data))
    colour, alpha = samples[:, :, : layout.channels], None
    if layout.alpha is not None:
        alpha = _full_range(samples[:, :, layout.channels], layout.bits)
    colour = _colour(colour, layout)
    if alpha is not None and layout.alpha == PREMULTIPLIED and layout.photometric not in (PALETTE, LAB):
        colour = _unpremultiplied(colour, alpha)
    profile = layout.ifd.get(ICC)
    icc = profile.value if profile and profile.number <= MAX_ICC_BYTES and layout.photometric != LAB else None
    return Scan(colour, alpha, icc, _exif_of(data, layout), layout.orientation)


def _samples(data: bytes, layout: Layout, segments: Segments) -> Pixels:
    """(H, W, S) as stored, native byte order."""
    import numpy as np
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what is then raised, and more
    with tifffile.TiffFile(io.BytesIO(_with_few_extras(data, layout))) as file:
        page: Any = file.pages[0]
        page.dataoffsets, page.databytecounts = segments
        planes = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, H, W, samples in one)
    samples: Pixels = np.moveaxis(planes[..., 0], 0, -1) if layout.planar else planes[0]
    if samples.shape != (layout.height, layout.width, layout.samples):
        raise CorruptPicture("the TIFF header and its pixels disagree about the size")
    return samples.astype(np.uint8) if samples.dtype == bool else samples


def _with_few_extras(data: bytes, layout: Layout) -> bytes:
    """The file with no more ExtraSamples than are read of any entry: tifffile makes an object of each value, and a file
    may have millions.
    """
    (count,) = struct.unpack_from(layout.order + "H", data, layout.start)
    head = struct.Struct(layout.order + "HHI")
    changed = None
    for at in range(layout.start + 2, layout.start + 2 + 12 * count, 12):
        tag, kind, number = head.unpack_from(data, at)
        if tag == EXTRA and number > MOST:
            changed = changed or bytearray(data)
            head.pack_into(changed, at, tag, kind, MOST)
    return data if changed is None else bytes(changed)


def _full_range(samples: Pixels, bits: int) -> Pixels:
    """1 to 7 bits to 8, 9 to 15 bits to 16: 0 stays 0 and the largest value becomes the largest."""
    import numpy as np

    if bits in (8, 16):
        return np.ascontiguousarray(samples)
    top, full, dtype = (1 << bits) - 1, 255 if bits < 8 else 65535, np.uint8 if bits < 8 else np.uint16
    table = (np.arange(top + 1, dtype=np.uint32) * full + top // 2) // top
    return np.take(table.astype(dtype), samples)


def _colour(samples: Pixels, layout: Layout) -> Pixels:
    import numpy as np

    if layout.photometric == PALETTE:
        return _palette(layout)[samples[:, :, 0]]
    if layout.photometric == LAB:
        return _lab(samples, layout)
    samples = _full_range(samples, layout.bits)
    if layout.photometric == WHITE_IS_ZERO:
        samples = np.iinfo(samples.dtype).max - samples
    return samples


def _palette(layout: Layout) -> Pixels:
    """(2**bits, 3) uint8; old programs wrote 8-bit values where the standard wants 16."""
    import numpy as np

    values = np.array(numbers(layout.ifd, COLOURS, layout.order, most=3 << 8), np.uint32)
    if values.size != 3 << layout.bits:
        raise CorruptPicture("the TIFF has no complete palette")
    if values.max() > 255:
        values = (values * 255 + 32767) // 65535
    return np.ascontiguousarray(values.reshape(3, -1).T.astype(np.uint8))


def _lab(samples: Pixels, layout: Layout) -> Pixels:
    import numpy as np

    from workers.pictures.codecs.icc import lab_to_srgb

    full, unit = (255, 1) if layout.bits == 8 else (65535, 256)
    result = np.empty_like(samples)
    for rows in _bands(samples):  # floats take much room
        values = np.ascontiguousarray(samples[rows])
        lab = values.view(np.int8 if layout.bits == 8 else np.int16).astype(np.float32) / np.float32(unit)
        lab[:, :, 0] = values[:, :, 0].astype(np.float32) * np.float32(100 / full)
        result[rows] = lab_to_srgb(lab, samples.dtype)
    return result


def _unpremultiplied(colour: Pixels, alpha: Pixels) -> Pixels:
    """Colour (or inks) divided by alpha, rounded; 0 where nothing is opaque."""
    import numpy as np

    full = np.uint64(np.iinfo(colour.dtype).max)
    result = np.empty_like(colour)
    for rows in _bands(colour):  # 64 bits a sample
        opaque = np.maximum(alpha[rows], 1).astype(np.uint64)[:, :, None]
        straight = (colour[rows].astype(np.uint64) * full + opaque // np.uint64(2)) // opaque
        result[rows] = np.minimum(straight, full)
    return result


def _bands(samples: Pixels) -> Iterator[slice]:
    """Rows of about a hundred thousand pixels at a time: a picture one pixel wide has no more bands than any other."""
    step = max(1, _BAND_PIXELS // samples.shape[1])
    return (slice(top, top + step) for top in range(0, samples.shape[0], step))


def _exif_of(data: bytes, layout: Layout) -> bytes | None:
    """An EXIF block of the describing tags, Exif and GPS directories; None where there are none."""
    directories = exif.directories(data, layout.order, layout.start)
    first = {
        tag: entry for tag, entry in directories.get(0, {}).items() if tag in _DESCRIPTIVE and not _is_layout(entry)
    }
    if not first and len(directories) < 2:
        return None
    directories[0] = first | {tag: entry for tag, entry in directories[0].items() if tag in _RESOLUTION}
    head = (b"II*\0" if layout.order == "<" else b"MM\0*") + struct.pack(layout.order + "I", 8)
    return head + exif.write_directories(directories, layout.order, 8)


def _is_layout(entry: Entry) -> bool:
    """What tifffile writes as a description: the shape of this file's array, wrong for any other."""
    return entry.value.startswith(b'{"shape"')


def encode(pixels: Pixels, alpha: Pixels | None, icc: bytes | None, block: bytes | None) -> bytes:
    """8 or 16 bits, in the byte order of the EXIF block so that its values can be taken over as they are."""
    import numpy as np

    both = pixels if alpha is None else np.concatenate((pixels, alpha[:, :, None]), axis=2)
    directories = _directories_of(block)
    order = exif.byte_order(block) if block and directories else "<"
    rows = max(1, 2**20 // both[0].nbytes)
    strips = _strips(both, rows, order)
    at = 8 + sum(map(len, strips))
    directories[0] = (
        _tags(both, pixels.shape[2], strips, rows, order)
        | ({ICC: Entry(7, len(icc), icc)} if icc else {})
        | {tag: entry for tag, entry in directories.get(0, {}).items() if tag in _DESCRIPTIVE | _RESOLUTION}
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return b"".join((head, *strips, exif.write_directories(directories, order, at)))


def _directories_of(block: bytes | None) -> dict[int, Ifd]:
    try:
        order = exif.byte_order(block or b"")
        return exif.directories(block or b"", order, struct.unpack_from(order + "I", block or b"", 4)[0])
    except (ValueError, struct.error):
        return {}


def _strips(both: Pixels, rows: int, order: str) -> list[bytes]:
    """Horizontal differences, deflate; even lengths, as offsets must be."""
    import imagecodecs

    strips = []
    dtype = f"{order}u{both.dtype.itemsize}"
    for top in range(0, both.shape[0], rows):
        part = both[top : top + rows]
        steps = part.copy()
        steps[:, 1:] -= part[:, :-1]
        packed = imagecodecs.deflate_encode(steps.astype(dtype, copy=False).tobytes(), 1)
        strips.append(bytes(packed) + b"\0" * (len(packed) % 2))
    return strips


def _tags(both: Pixels, channels: int, strips: list[bytes], rows: int, order: str) -> Ifd:
    height, width, samples = both.shape
    starts = [8]
    for strip in strips[:-1]:
        starts.append(starts[-1] + len(strip))

    def short(*values: int) -> Entry:
        return Entry(3, len(values), struct.pack(f"{order}{len(values)}H", *values))

    def long(*values: int) -> Entry:
        return Entry(4, len(values), struct.pack(f"{order}{len(values)}I", *values))

    tags = {
        WIDTH: long(width),
        HEIGHT: long(height),
        BITS: short(*[8 * both.dtype.itemsize] * samples),
        COMPRESSION: short(DEFLATE),
        PHOTOMETRIC: short(BLACK_IS_ZERO if channels == 1 else RGB),
        STRIP_AT: long(*starts),
        ORIENTATION: short(1),
        SAMPLES: short(samples),
        STRIP_ROWS: long(rows),
        STRIP_BYTES: long(*map(len, strips)),
        PLANAR: short(1),
        PREDICTOR: short(2),
    }
    return tags | ({EXTRA: short(UNASSOCIATED)} if samples > channels else {})
