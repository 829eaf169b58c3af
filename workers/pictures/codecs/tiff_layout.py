"""TIFF: the first directory as plain numbers, and where the strips or tiles lie, put right where that takes no guess.

A length that is missing, 0 or reaches beyond the file follows from the size of the picture, or from what the data
decode to; readers such as libtiff do the same. A strip or tile that is not in the file stays an error: readers would
fill it with black. Source: TIFF 6.0 (1992); Adobe TIFF technical notes (2002, deflate).
"""

from __future__ import annotations

import bisect
import struct
from dataclasses import dataclass
from typing import NamedTuple

from workers.errors import CorruptPicture, NotAPicture
from workers.pictures.codecs import exif, jpeg_segments
from workers.pictures.codecs.exif import Ifd

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
PLAIN, LZW, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE, ZSTD = 1, 5, 7, 8, 32773, 32946, 50000
_COMPRESSIONS = frozenset({PLAIN, 2, 3, 4, LZW, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE, ZSTD})
PREMULTIPLIED, UNASSOCIATED = 1, 2
MAX_SEGMENTS, _SEGMENT_PIXELS = 16_384, 64  # more strips or tiles than that may not be smaller than that
_MAX_SHARING = 4
MOST = 64  # values of an entry that holds one a sample, or one


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
        return self.extra[0] if self.extra and self.extra[0] in (PREMULTIPLIED, UNASSOCIATED) else None


def numbers(ifd: Ifd, tag: int, order: str, most: int = MOST) -> tuple[int, ...]:
    """The first values of a BYTE, SHORT or LONG entry, at most `most`; empty where there is none."""
    entry = ifd.get(tag)
    code = {1: "B", 3: "H", 4: "I"}.get(entry.kind) if entry else None
    if entry is None or code is None:
        return ()
    return struct.unpack_from(f"{order}{min(entry.number, most)}{code}", entry.value)


def first(ifd: Ifd, tag: int, order: str, default: int) -> int:
    values = numbers(ifd, tag, order)
    return values[0] if values else default


def read_layout(data: bytes) -> Layout:
    order = exif.byte_order(data)
    start = struct.unpack_from(order + "I", data, 4)[0]
    ifd, _ = exif.read_ifd(data, order, start)
    bits = numbers(ifd, BITS, order) or (1,)
    turn = first(ifd, ORIENTATION, order, 1)
    samples = first(ifd, SAMPLES, order, 1)
    layout = Layout(
        order,
        start,
        first(ifd, WIDTH, order, 0),
        first(ifd, HEIGHT, order, 0),
        bits[0],
        samples,
        first(ifd, PHOTOMETRIC, order, -1),
        first(ifd, COMPRESSION, order, 1),
        first(ifd, PLANAR, order, 1) == 2,
        numbers(ifd, EXTRA, order),
        turn if 1 <= turn <= 8 else 1,
        ifd,
    )
    _refuse_raw(layout, data)
    _refuse_samples(layout, bits)
    _refuse_structure(layout)
    return layout


def _refuse_raw(layout: Layout, data: bytes) -> None:
    thumbnail = SUB_IFDS in layout.ifd and first(layout.ifd, SUBFILE, layout.order, 0) & 1
    if DNG in layout.ifd or thumbnail or layout.photometric in (32803, 34892) or data[8:10] == b"CR":
        raise NotAPicture("camera raw files are not read; develop it to TIFF, PNG or JPEG first")


def _refuse_samples(layout: Layout, bits: tuple[int, ...]) -> None:
    """NotAPicture for kinds of samples that other programs write and this one does not read."""
    formats = set(numbers(layout.ifd, SAMPLE_FORMAT, layout.order))
    if layout.photometric not in _CHANNELS or layout.compression not in _COMPRESSIONS:
        kind = f"photometric {layout.photometric}, compression {layout.compression}"
        raise NotAPicture(f"TIFF with {kind} is not supported")
    if formats - {1, 4} or set(bits) - set(_BITS.get(layout.photometric, (8, 16))) or len(set(bits)) > 1:
        name = "float" if 3 in formats else "signed" if 2 in formats else "unsigned"
        raise NotAPicture(f"TIFF with {max(bits)}-bit {name} samples is not supported; unsigned 8 and 16 bits are")
    if layout.photometric == YCBCR and layout.compression != JPEG:
        raise NotAPicture("TIFF with YCbCr samples is not supported without JPEG compression")
    if layout.photometric == CMYK and first(layout.ifd, INK_SET, layout.order, 1) != 1:
        raise NotAPicture("TIFF with inks other than CMYK is not supported")
    if layout.compression == JPEG and (bits[0] != 8 or layout.photometric in (PALETTE, LAB)):
        raise NotAPicture("TIFF with JPEG compression is supported for 8-bit grey, RGB, YCbCr and CMYK")


def _refuse_structure(layout: Layout) -> None:
    """CorruptPicture for sizes that contradict each other and would make a reader take much memory."""
    tile = first(layout.ifd, TILE_WIDTH, layout.order, 0), first(layout.ifd, TILE_HEIGHT, layout.order, 0)
    wrong = (
        not layout.width
        or not layout.height
        or not layout.channels <= layout.samples <= layout.channels + 4
        or first(layout.ifd, DEPTH, layout.order, 1) != 1
        or (TILE_AT in layout.ifd) != (tile[0] > 0 and tile[1] > 0)
        or tile[0] > 2 * layout.width + 1024
        or tile[1] > 2 * layout.height + 1024
    )
    if wrong:
        raise CorruptPicture(
            f"the TIFF header contradicts itself: {layout.width}x{layout.height} pixels, {layout.samples} samples"
        )


class Segments(NamedTuple):
    """Where the strips or tiles begin in the file, and how long they are."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]


class _Grid(NamedTuple):
    """The strips or tiles of a picture: their size in pixels, and how many there are."""

    across: int
    rows: int
    columns: int
    lines: int
    planes: int

    @property
    def total(self) -> int:
        return self.columns * self.lines * self.planes


def segments(layout: Layout, data: bytes) -> Segments:
    """Each strip or tile lies in the file and holds all its pixels as far as lengths go; else CorruptPicture."""
    grid = _grid(layout)
    tiled = TILE_AT in layout.ifd
    starts = numbers(layout.ifd, TILE_AT if tiled else STRIP_AT, layout.order, most=grid.total)
    declared = numbers(layout.ifd, TILE_BYTES if tiled else STRIP_BYTES, layout.order, most=grid.total)
    if len(starts) != grid.total:
        raise CorruptPicture(f"the TIFF has {len(starts)} of {grid.total} strips or tiles")
    if len(declared) != grid.total:
        declared = (0,) * grid.total
    sizes = declared
    if any(not size or start + size > len(data) for start, size in zip(starts, declared, strict=True)):
        sizes = _repaired(layout, grid, data, starts, declared)
    if layout.compression == PLAIN and sum(sizes) < layout.height * (
        (layout.width * layout.samples * layout.bits + 7) // 8
    ):
        raise CorruptPicture("the TIFF is incomplete: its strips or tiles are too short")
    if sum(sizes) > _MAX_SHARING * len(data):
        raise CorruptPicture("the TIFF has strips or tiles that share their bytes")
    if layout.compression == JPEG:
        _refuse_large_jpegs(grid, data, starts, sizes)
    return Segments(starts, sizes)


def _grid(layout: Layout) -> _Grid:
    across, rows = layout.width, min(first(layout.ifd, STRIP_ROWS, layout.order, layout.height), layout.height)
    if TILE_AT in layout.ifd:
        across, rows = (first(layout.ifd, tag, layout.order, 0) for tag in (TILE_WIDTH, TILE_HEIGHT))
    if not rows:
        raise CorruptPicture("the TIFF has strips without rows")
    planes = layout.samples if layout.planar else 1
    grid = _Grid(across, rows, -(-layout.width // across), -(-layout.height // rows), planes)
    if grid.total > MAX_SEGMENTS and grid.total * _SEGMENT_PIXELS > layout.width * layout.height * planes:
        raise CorruptPicture(
            f"the TIFF is cut into {grid.total} strips or tiles; where they hold less than {_SEGMENT_PIXELS} pixels"
            f" each, at most {MAX_SEGMENTS} are read"
        )
    return grid


def _repaired(
    layout: Layout, grid: _Grid, data: bytes, starts: tuple[int, ...], declared: tuple[int, ...]
) -> tuple[int, ...]:
    """The lengths, with those that are 0 or reach beyond the file worked out; CorruptPicture where data are missing."""
    ends = sorted({*starts, len(data)})
    sizes = list(declared)
    for index, (start, size) in enumerate(zip(starts, declared, strict=True)):
        if size and start + size <= len(data):
            continue
        whole, room = _raw_bytes(layout, grid, index), len(data) - start
        if layout.compression == PLAIN:
            sizes[index] = whole
        elif 8 <= start < len(data):
            end = ends[bisect.bisect_right(ends, start)]
            sizes[index] = _packed_bytes(data[start:end], layout, whole)
        if start < 8 or sizes[index] > room:
            raise CorruptPicture("the TIFF is incomplete: a strip or tile lies outside the file")
    return tuple(sizes)


def _raw_bytes(layout: Layout, grid: _Grid, index: int) -> int:
    """Bytes of one strip or tile without compression; the last strip may be shorter, tiles never are."""
    rows = grid.rows
    if TILE_AT not in layout.ifd:
        rows = min(rows, layout.height - index % grid.lines * rows)
    samples = 1 if layout.planar else layout.samples
    return rows * ((grid.across * samples * layout.bits + 7) // 8)


def _packed_bytes(packed: bytes, layout: Layout, whole: int) -> int:
    """How many of these bytes decode to the `whole` bytes of a strip or tile; CorruptPicture where none do."""
    import imagecodecs

    unpack = {LZW: imagecodecs.lzw_decode, DEFLATE: imagecodecs.zlib_decode, OLD_DEFLATE: imagecodecs.zlib_decode}
    if layout.compression == PACKBITS:
        size = _packbits_bytes(packed, whole)
    elif layout.compression == JPEG:
        size = packed.rfind(b"\xff\xd9") + 2
    elif layout.compression in unpack:
        size = len(packed) if len(unpack[layout.compression](packed, out=whole)) >= whole else 0
    else:
        raise CorruptPicture("the TIFF does not say how long its strips or tiles are")
    if size < 2:
        raise CorruptPicture("the TIFF is incomplete: a strip or tile has fewer pixels than it must hold")
    return size


def _packbits_bytes(packed: bytes, whole: int) -> int:
    """Where runs that decode to `whole` bytes end; 0 where they do not. TIFF 6.0 section 9."""
    at = 0
    while whole > 0 and at < len(packed):
        head = packed[at]
        at += 2 if head > 128 else 1 if head == 128 else head + 2
        whole -= 257 - head if head > 128 else 0 if head == 128 else head + 1
    return at if whole <= 0 and at <= len(packed) else 0


def _refuse_large_jpegs(grid: _Grid, data: bytes, starts: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    for start, size in zip(starts, sizes, strict=True):
        height, width = struct.unpack_from(">HH", jpeg_segments.frame(data[start : start + size]).payload, 1)
        if height > grid.rows + 64 or width > grid.across + 64:
            raise CorruptPicture("the TIFF holds a JPEG larger than its strip or tile")
