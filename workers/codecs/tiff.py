"""TIFF: first directory, pixels through tifffile at 8 and 16 bits, and a plain writer (strips, deflate, predictor).

Float, signed and 32-bit samples, camera raw files, BigTIFF and subsampled YCbCr without JPEG are refused. Each strip or
tile must lie in the file: readers fill missing ones with black. Source: TIFF 6.0 (1992); Adobe TIFF technical notes
(2002, deflate); ICC.1:2010 annex B.3.
"""

from __future__ import annotations

import io
import logging
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.codecs import exif, jpeg
from workers.codecs.exif import Entry, Ifd
from workers.errors import CorruptPicture, NotAPicture
from workers.picture import MAX_ICC_BYTES, Header, Scan, turned

if TYPE_CHECKING:
    from workers.picture import Pixels

MAX_SIDE = 2**32 - 1
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_AT, ORIENTATION, SAMPLES, STRIP_ROWS, STRIP_BYTES = 273, 274, 277, 278, 279
PLANAR, PREDICTOR, COLOURS, TILE_WIDTH, TILE_HEIGHT, TILE_AT, TILE_BYTES = 284, 317, 320, 322, 323, 324, 325
SUB_IFDS, INK_SET, EXTRA, SAMPLE_FORMAT, DEPTH, ICC, DNG = 330, 332, 338, 339, 32997, 34675, 50706

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
_CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
_BITS = {
    PALETTE: (1, 2, 4, 8),
    WHITE_IS_ZERO: (1, 2, 4, 8, 10, 12, 14, 16),
    BLACK_IS_ZERO: (1, 2, 4, 8, 10, 12, 14, 16),
}
_JPEG, _DEFLATE = 7, 8
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, _JPEG, _DEFLATE, 32773, 32946, 50000})
_PREMULTIPLIED, _UNASSOCIATED = 1, 2
# Of the first directory what says something about the photo and not about this file.
_DESCRIPTIVE = frozenset({270, 271, 272, 305, 306, 315, 316, 18246, 33432})
_RESOLUTION = frozenset({282, 283, 296})


@dataclass(frozen=True)
class Layout:
    """The first directory as plain numbers."""

    order: str
    start: int
    width: int
    height: int
    bits: int
    samples: int
    photometric: int
    compression: int
    planar: bool
    extra: tuple[int, ...]
    orientation: int
    ifd: Ifd

    @property
    def channels(self) -> int:
        return _CHANNELS[self.photometric]

    @property
    def alpha(self) -> int | None:
        """Which kind of alpha the first extra sample is; None for other things in it."""
        return self.extra[0] if self.extra and self.extra[0] in (_PREMULTIPLIED, _UNASSOCIATED) else None


def matches(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*")


def _numbers(ifd: Ifd, tag: int, order: str) -> tuple[int, ...]:
    """All values of a BYTE, SHORT or LONG entry; empty where there is none."""
    entry = ifd.get(tag)
    code = {1: "B", 3: "H", 4: "I"}.get(entry.kind) if entry else None
    if entry is None or code is None:
        return ()
    return struct.unpack(f"{order}{entry.number}{code}", entry.value)


def _first(ifd: Ifd, tag: int, order: str, default: int) -> int:
    values = _numbers(ifd, tag, order)
    return values[0] if values else default


def read_layout(data: bytes) -> Layout:
    order = exif.byte_order(data)
    start = struct.unpack_from(order + "I", data, 4)[0]
    ifd, _ = exif.read_ifd(data, order, start)
    bits = _numbers(ifd, BITS, order) or (1,)
    samples = _first(ifd, SAMPLES, order, 1)
    layout = Layout(
        order,
        start,
        _first(ifd, WIDTH, order, 0),
        _first(ifd, HEIGHT, order, 0),
        bits[0],
        samples,
        _first(ifd, PHOTOMETRIC, order, -1),
        _first(ifd, COMPRESSION, order, 1),
        _first(ifd, PLANAR, order, 1) == 2,
        _numbers(ifd, EXTRA, order),
        _first(ifd, ORIENTATION, order, 1),
        ifd,
    )
    _refuse_raw(layout, data)
    _refuse_samples(layout, bits)
    _refuse_structure(layout)
    return layout


def _refuse_raw(layout: Layout, data: bytes) -> None:
    thumbnail = SUB_IFDS in layout.ifd and _first(layout.ifd, SUBFILE, layout.order, 0) & 1
    if DNG in layout.ifd or thumbnail or layout.photometric in (32803, 34892) or data[8:10] == b"CR":
        raise NotAPicture("camera raw files are not read; develop it to TIFF, PNG or JPEG first")


def _refuse_samples(layout: Layout, bits: tuple[int, ...]) -> None:
    """NotAPicture for kinds of samples that other programs write and this one does not read."""
    formats = set(_numbers(layout.ifd, SAMPLE_FORMAT, layout.order))
    if layout.photometric not in _CHANNELS or layout.compression not in _COMPRESSIONS:
        kind = f"photometric {layout.photometric}, compression {layout.compression}"
        raise NotAPicture(f"TIFF with {kind} is not supported")
    if formats - {1, 4} or set(bits) - set(_BITS.get(layout.photometric, (8, 16))) or len(set(bits)) > 1:
        name = "float" if 3 in formats else "signed" if 2 in formats else "unsigned"
        raise NotAPicture(f"TIFF with {max(bits)}-bit {name} samples is not supported; unsigned 8 and 16 bits are")
    if layout.photometric == YCBCR and layout.compression != _JPEG:
        raise NotAPicture("TIFF with YCbCr samples is not supported without JPEG compression")
    if layout.photometric == CMYK and _first(layout.ifd, INK_SET, layout.order, 1) != 1:
        raise NotAPicture("TIFF with inks other than CMYK is not supported")
    if layout.compression == _JPEG and (bits[0] != 8 or layout.photometric in (PALETTE, LAB)):
        raise NotAPicture("TIFF with JPEG compression is supported for 8-bit grey, RGB, YCbCr and CMYK")


def _refuse_structure(layout: Layout) -> None:
    """CorruptPicture for sizes that contradict each other and would make a reader take much memory."""
    tile = _first(layout.ifd, TILE_WIDTH, layout.order, 0), _first(layout.ifd, TILE_HEIGHT, layout.order, 0)
    wrong = (
        not layout.width
        or not layout.height
        or not layout.channels <= layout.samples <= layout.channels + 4
        or not 1 <= layout.orientation <= 8
        or _first(layout.ifd, DEPTH, layout.order, 1) != 1
        or (TILE_AT in layout.ifd) != (tile[0] > 0 and tile[1] > 0)
        or tile[0] > 2 * layout.width + 1024
        or tile[1] > 2 * layout.height + 1024
    )
    if wrong:
        raise CorruptPicture(
            f"the TIFF header contradicts itself: {layout.width}x{layout.height} pixels, {layout.samples} samples"
        )


def read_header(data: bytes) -> Header:
    layout = read_layout(data)
    width, height = turned(layout.width, layout.height, layout.orientation)
    grey = layout.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
    depth = 16 if layout.bits > 8 else 8
    lossy = layout.compression == _JPEG
    return Header("tiff", width, height, depth, has_alpha=layout.alpha is not None, is_grey=grey, lossy=lossy)


def decode(data: bytes) -> Scan:
    layout = read_layout(data)
    _check_segments(layout, data)
    samples = _samples(data, layout)
    colour, alpha = samples[:, :, : layout.channels], None
    if layout.alpha is not None:
        alpha = _full_range(samples[:, :, layout.channels], layout.bits)
    colour = _colour(colour, layout)
    if alpha is not None and layout.alpha == _PREMULTIPLIED and layout.photometric not in (PALETTE, LAB):
        colour = _unpremultiplied(colour, alpha)
    profile = layout.ifd.get(ICC)
    icc = profile.value if profile and profile.number <= MAX_ICC_BYTES and layout.photometric != LAB else None
    return Scan(colour, alpha, icc, _exif_of(data, layout), layout.orientation)


def _check_segments(layout: Layout, data: bytes) -> None:
    """Each strip or tile is there and lies in the file; JPEG in it is not larger than it may be."""
    tiled = TILE_AT in layout.ifd
    across, rows = layout.width, min(_first(layout.ifd, STRIP_ROWS, layout.order, layout.height), layout.height)
    if tiled:
        across, rows = (_first(layout.ifd, tag, layout.order, 0) for tag in (TILE_WIDTH, TILE_HEIGHT))
    starts = _numbers(layout.ifd, TILE_AT if tiled else STRIP_AT, layout.order)
    sizes = _numbers(layout.ifd, TILE_BYTES if tiled else STRIP_BYTES, layout.order)
    if not rows:
        raise CorruptPicture("the TIFF has strips without rows")
    expected = -(-layout.width // across) * -(-layout.height // rows) * (layout.samples if layout.planar else 1)
    if len(starts) != expected or len(sizes) != expected:
        raise CorruptPicture(f"the TIFF has {len(starts)} of {expected} strips or tiles")
    if any(not size or start + size > len(data) for start, size in zip(starts, sizes, strict=True)):
        raise CorruptPicture("the TIFF is incomplete: a strip or tile lies outside the file")
    if layout.compression == 1 and sum(sizes) < layout.height * (
        (layout.width * layout.samples * layout.bits + 7) // 8
    ):
        raise CorruptPicture("the TIFF is incomplete: its strips or tiles are too short")
    if layout.compression == _JPEG:
        for start, size in zip(starts, sizes, strict=True):
            height, width = struct.unpack_from(">HH", jpeg.frame(data[start : start + size]).payload, 1)
            if height > rows + 64 or width > across + 64:
                raise CorruptPicture("the TIFF holds a JPEG larger than its strip or tile")


def _samples(data: bytes, layout: Layout) -> Pixels:
    """(H, W, S) as stored, native byte order."""
    import numpy as np
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what is then raised, and more
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page: Any = file.pages[0]
        planes = page.asarray(squeeze=False, maxworkers=1)[:, 0]  # (planes, H, W, samples in one)
    samples: Pixels = np.moveaxis(planes[..., 0], 0, -1) if layout.planar else planes[0]
    if samples.shape != (layout.height, layout.width, layout.samples):
        raise CorruptPicture("the TIFF header and its pixels disagree about the size")
    return samples.astype(np.uint8) if samples.dtype == bool else samples


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

    values = np.array(_numbers(layout.ifd, COLOURS, layout.order), np.uint32)
    if values.size != 3 << layout.bits:
        raise CorruptPicture("the TIFF has no complete palette")
    if values.max() > 255:
        values = (values * 255 + 32767) // 65535
    return np.ascontiguousarray(values.reshape(3, -1).T.astype(np.uint8))


def _lab(samples: Pixels, layout: Layout) -> Pixels:
    import numpy as np

    from workers.codecs.icc import lab_to_srgb

    full, unit = (255, 1) if layout.bits == 8 else (65535, 256)
    result = np.empty_like(samples)
    for row in range(samples.shape[0]):  # one at a time: floats take much room
        values = np.ascontiguousarray(samples[row : row + 1])
        lab = values.view(np.int8 if layout.bits == 8 else np.int16).astype(np.float32) / np.float32(unit)
        lab[:, :, 0] = values[:, :, 0].astype(np.float32) * np.float32(100 / full)
        result[row] = lab_to_srgb(lab, samples.dtype)[0]
    return result


def _unpremultiplied(colour: Pixels, alpha: Pixels) -> Pixels:
    """Colour (or inks) divided by alpha, rounded; 0 where nothing is opaque."""
    import numpy as np

    full = np.uint64(np.iinfo(colour.dtype).max)
    result = np.empty_like(colour)
    for row in range(colour.shape[0]):  # one at a time: 64 bits a sample
        opaque = np.maximum(alpha[row], 1).astype(np.uint64)[:, None]
        straight = (colour[row].astype(np.uint64) * full + opaque // np.uint64(2)) // opaque
        result[row] = np.minimum(straight, full)
    return result


def _exif_of(data: bytes, layout: Layout) -> bytes | None:
    """An EXIF block of the describing tags, Exif and GPS directories; None where there are none."""
    found = exif.directories(data, layout.order, layout.start)
    first = {tag: entry for tag, entry in found.get(0, {}).items() if tag in _DESCRIPTIVE and not _is_layout(entry)}
    if not first and len(found) < 2:
        return None
    found[0] = first | {tag: entry for tag, entry in found[0].items() if tag in _RESOLUTION}
    head = (b"II*\0" if layout.order == "<" else b"MM\0*") + struct.pack(layout.order + "I", 8)
    return head + exif.write_directories(found, layout.order, 8)


def _is_layout(entry: Entry) -> bool:
    """What tifffile writes as a description: the shape of this file's array, wrong for any other."""
    return entry.value.startswith(b'{"shape"')


def encode(pixels: Pixels, alpha: Pixels | None, icc: bytes | None, block: bytes | None) -> bytes:
    """8 or 16 bits, in the byte order of the EXIF block so that its values can be taken over as they are."""
    import numpy as np

    both = pixels if alpha is None else np.concatenate((pixels, alpha[:, :, None]), axis=2)
    found = _directories_of(block)
    order = exif.byte_order(block) if block and found else "<"
    rows = max(1, 2**20 // both[0].nbytes)
    strips = _strips(both, rows, order)
    at = 8 + sum(map(len, strips))
    found[0] = (
        _tags(both, pixels.shape[2], strips, rows, order)
        | ({ICC: Entry(7, len(icc), icc)} if icc else {})
        | {tag: entry for tag, entry in found.get(0, {}).items() if tag in _DESCRIPTIVE | _RESOLUTION}
    )
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at)
    return b"".join((head, *strips, exif.write_directories(found, order, at)))


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
        COMPRESSION: short(_DEFLATE),
        PHOTOMETRIC: short(BLACK_IS_ZERO if channels == 1 else RGB),
        STRIP_AT: long(*starts),
        ORIENTATION: short(1),
        SAMPLES: short(samples),
        STRIP_ROWS: long(rows),
        STRIP_BYTES: long(*map(len, strips)),
        PLANAR: short(1),
        PREDICTOR: short(2),
    }
    return tags | ({EXTRA: short(_UNASSOCIATED)} if samples > channels else {})
