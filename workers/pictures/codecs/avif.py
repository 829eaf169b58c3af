"""What the AV1 data of an AVIF say themselves: their real size, which the container may lie about, and their colours.

libavif sets memory aside by the sequence header inside the coded data, up to 16384x16384 pixels, whatever the container
says: four kilobytes could cost a gigabyte. No pixel is decoded here.
Source: ISO/IEC 14496-12:2022 (meta, iloc, iinf, stbl), AV1 Bitstream Specification 1.0.0 sections 5.3 and 5.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from workers.errors import CorruptPicture
from workers.pictures.picture import MAX_PARTS

_SEQUENCE_HEADER = 1
_ALPHA_URN = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha"


class Box(NamedTuple):
    kind: bytes
    start: int  # of the payload
    end: int


def refuse_lie(data: bytes, pixels: int) -> None:
    """CorruptPicture where the coded frames are far larger than the `pixels` that the container says.

    Cells of a grid may reach beyond the picture, so some surplus is right.
    """
    sizes = [head.width * head.height for item in _coded(data) for head in _sequence_headers(item)]
    if not sizes:
        raise CorruptPicture("the AVIF holds no AV1 picture")
    if max(sizes) > 4 * pixels + 2**20:
        raise CorruptPicture("the AVIF holds a larger picture than its header says")


def is_lossless(data: bytes) -> bool:
    """Whether an AVIF holds RGB as it is (matrix 0, the identity), which encoders do for lossless pictures alone.

    Grey has no such mark, and is taken for lossy. What is damaged is judged by the decoder.
    """
    try:
        colour_boxes = _properties(data, b"colr")
    except CorruptPicture:
        return False
    return any(data[box.start : box.start + 4] == b"nclx" and _matrix(data, box) == 0 for box in colour_boxes)


def has_alpha(data: bytes) -> bool:
    return any(data[box.start + 4 : box.end].startswith(_ALPHA_URN) for box in _properties(data, b"auxC"))


def with_planes_of(whole: bytes, coded: bytes) -> bytes:
    """`whole`, an AVIF of libavif with all its facts, with the planes, their kind and their matrix of `coded`.

    Both hold the same planes in the same size; boxes keep their lengths, so only places and numbers change.
    """
    made = bytearray(whole)
    for kind, length in ((b"av1C", 4), (b"pixi", None)):
        for old, new in zip(_properties(whole, kind), _properties(coded, kind), strict=True):
            made[old.start : old.end if length is None else old.start + length] = coded[new.start : new.end]
    (old,), (new,) = (
        [box for box in _properties(file, b"colr") if file[box.start : box.start + 4] == b"nclx"]
        for file in (whole, coded)
    )
    made[old.start : old.end] = coded[new.start : new.end]
    planes, places = _extents(coded), _extents(whole)
    parts = {item: planes.get(item, place)[0] for item, place in places.items()}
    mdat = next(box for box in boxes(whole, 0, len(whole)) if box.kind == b"mdat")
    at = mdat.start
    for item, (_, entry) in places.items():
        made[entry : entry + 8] = at.to_bytes(4, "big") + len(parts[item]).to_bytes(4, "big")
        at += len(parts[item])
    made[mdat.start - 8 : mdat.start - 4] = (at - mdat.start + 8).to_bytes(4, "big")
    return bytes(made[: mdat.start]) + b"".join(parts.values())


def _extents(data: bytes) -> dict[int, tuple[bytes, int]]:
    """Of each item of libavif's own files its bytes and where its place is written: one extent, four bytes a number."""
    (iloc,) = inside(data, inside(data, [Box(b"", 0, len(data))], b"meta"), b"iloc", 4)
    items = {}
    for index in range(int.from_bytes(data[iloc.start + 6 : iloc.start + 8], "big")):
        entry = iloc.start + 8 + 14 * index
        start, size = (int.from_bytes(data[at : at + 4], "big") for at in (entry + 6, entry + 10))
        items[int.from_bytes(data[entry : entry + 2], "big")] = data[start : start + size], entry + 6
    return items


def _properties(data: bytes, kind: bytes) -> list[Box]:
    meta = inside(data, [Box(b"", 0, len(data))], b"meta")
    return inside(data, inside(data, inside(data, meta, b"iprp", 4), b"ipco"), kind)


def _matrix(data: bytes, colr: Box) -> int:
    return int.from_bytes(data[colr.start + 8 : colr.start + 10], "big")


def colours(data: bytes) -> tuple[int, int] | None:
    """Colour primaries and transfer characteristics (H.273) of the first coded picture that has colour."""
    heads = (head for item in _coded(data) for head in _sequence_headers(item))
    return next((head.colours for head in heads if not head.is_grey), None)


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    for _ in range(MAX_PARTS):
        if start + 8 > end:
            return
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        size = size or end - start
        if size < head:
            raise CorruptPicture("the AVIF has a box of no size")
        yield Box(kind, start + head, min(start + size, end))
        start += size
    raise CorruptPicture("the AVIF has too many boxes")


def inside(data: bytes, outer: list[Box], kind: bytes, skip: int = 0) -> list[Box]:
    """Boxes of this kind within the outer ones, behind `skip` bytes (4 for the version of a full box)."""
    return [box for parent in outer for box in boxes(data, parent.start + skip, parent.end) if box.kind == kind]


def _coded(data: bytes) -> Iterator[bytes]:
    """The coded data of each AV1 item, and of the first sample of each track."""
    top = [Box(b"", 0, len(data))]
    meta = inside(data, top, b"meta")
    av1 = {item for box in inside(data, meta, b"iinf", 4) for item in _av1_items(data, box)}
    stores = inside(data, meta, b"idat", 4)
    for box in inside(data, meta, b"iloc", 4):
        yield from (part for item, part in _located(data, box, stores) if item in av1)
    table = top
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        table = inside(data, table, kind)
    for samples in table:
        yield _first_sample(data, samples)


def _first_sample(data: bytes, table: Box) -> bytes:
    starts = {box.kind: box.start for box in boxes(data, table.start, table.end)}
    if b"stsz" not in starts or not starts.keys() & {b"stco", b"co64"}:
        raise CorruptPicture("the AVIF has a track without samples")
    at, width = (starts[b"stco"], 4) if b"stco" in starts else (starts[b"co64"], 8)
    start = int.from_bytes(data[at + 8 : at + 8 + width], "big")
    every, first = (int.from_bytes(data[starts[b"stsz"] + o : starts[b"stsz"] + o + 4], "big") for o in (4, 12))
    return data[start : start + (every or first)]


def _av1_items(data: bytes, iinf: Box) -> Iterator[int]:
    counted = 2 if data[iinf.start] == 0 else 4
    for box in boxes(data, iinf.start + 4 + counted, iinf.end):
        wide = 4 if data[box.start] >= 3 else 2
        at = box.start + 4
        if data[at + wide + 2 : at + wide + 6] == b"av01":
            yield int.from_bytes(data[at : at + wide], "big")


def _located(data: bytes, iloc: Box, stores: list[Box]) -> Iterator[tuple[int, bytes]]:
    """Item and its bytes, the extents joined."""
    version, at = data[iloc.start], iloc.start + 4
    offset_size, length_size, base_size, index_size = data[at] >> 4, data[at] & 15, data[at + 1] >> 4, data[at + 1] & 15
    wide = 4 if version == 2 else 2
    at += 2

    def number(size: int) -> int:
        nonlocal at
        if at + size > iloc.end:
            raise CorruptPicture("the AVIF has an item outside its table")
        at += size
        return int.from_bytes(data[at - size : at], "big")

    left, extents = 2 * len(data), 0
    for _ in range(number(wide)):
        item = number(wide)
        method = number(2) & 15 if version else 0
        number(2)
        base, parts = number(base_size), []
        for _ in range(number(2)):
            number(index_size if version else 0)
            start, size = base + number(offset_size), number(length_size)
            start += stores[0].start if method == 1 and stores else 0
            parts.append(data[start : start + size] if size else data[start:])
            left, extents = left - len(parts[-1]), extents + 1
            if left < 0 or extents > MAX_PARTS:
                raise CorruptPicture("the AVIF has items that share their bytes")
        yield item, b"".join(parts)


class _SequenceHeader(NamedTuple):
    width: int
    height: int
    is_grey: bool
    colours: tuple[int, int] | None


def _sequence_headers(coded: bytes) -> Iterator[_SequenceHeader]:
    """Each sequence header among the open bitstream units."""
    at = 0
    for _ in range(MAX_PARTS):
        if at >= len(coded):
            return
        head = coded[at]
        at += 2 if head & 4 else 1
        size = len(coded) - at
        if head & 2:
            size, at = _leb128(coded, at)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _sequence_header(_Bits(coded[at : at + size]))
        at += size
    raise CorruptPicture("the AVIF has too many units")


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        byte = data[at + index]
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, at + index + 1
    raise CorruptPicture("the AVIF has a broken number")


class _Bits:
    """Reads bits, most significant first; zeros behind the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data[:512].ljust(512, b"\0"), "big")
        self._left = 512 * 8

    def read(self, count: int) -> int:
        self._left -= count
        return self._value >> max(self._left, 0) & ((1 << count) - 1)


def _sequence_header(bits: _Bits) -> _SequenceHeader:
    """Section 5.5.1, up to the colour description."""
    profile = bits.read(3)
    bits.read(1)  # still_picture
    reduced = bits.read(1)
    if reduced:
        bits.read(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    _skip_tools(bits, reduced)
    if bits.read(1) and profile == 2:  # high_bitdepth
        bits.read(1)  # twelve_bit
    is_grey = profile != 1 and bool(bits.read(1))
    described = bits.read(1)
    return _SequenceHeader(width, height, is_grey, (bits.read(8), bits.read(8)) if described else None)


def _skip_tools(bits: _Bits, reduced: int) -> None:
    """From frame_id_numbers_present_flag to film grain's neighbours: which coding tools there are."""
    if not reduced and bits.read(1):  # frame_id_numbers_present_flag
        bits.read(7)
    bits.read(3)
    if not reduced:
        bits.read(4)
        ordered = bits.read(1)
        if ordered:
            bits.read(2)
        forced = 2 if bits.read(1) else bits.read(1)  # screen content tools
        if forced and not bits.read(1):  # seq_choose_integer_mv
            bits.read(1)
        if ordered:
            bits.read(3)
    bits.read(3)


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(64)
        if bits.read(1):  # equal_picture_interval: uvlc
            zeros = 0
            while zeros < 32 and not bits.read(1):
                zeros += 1
            bits.read(zeros)
        if bits.read(1):  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(42)
    display_delay = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)
        if bits.read(5) > 7:
            bits.read(1)
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if display_delay and bits.read(1):
            bits.read(4)
