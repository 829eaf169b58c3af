"""EXIF blocks: read the orientation, drop the thumbnail, set single values in place, read and write directories.

Blocks are edited in place and never laid out anew, so that maker notes, which hold offsets of their own, stay readable.
It does not interpret camera data. Source: TIFF 6.0 (1992) section 2; Exif 2.32 (CIPA DC-008-2019) section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from workers.pictures.picture import MAX_EXIF_BYTES

ORIENTATION = 0x0112
EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
COLOUR_SPACE, PIXEL_WIDTH, PIXEL_HEIGHT = 0xA001, 0xA002, 0xA003
_THUMBNAIL_AT, _THUMBNAIL_BYTES = (0x0201, 0x0111), (0x0202, 0x0117)  # as a JPEG, as one strip of pixels
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SHORT, _LONG = 3, 4


class Entry(NamedTuple):
    """One value of a directory; `at` is where its bytes lie in the block."""

    kind: int
    number: int
    value: bytes
    at: int = 0


Ifd = dict[int, Entry]


def byte_order(block: bytes) -> str:
    """'<' or '>' of a TIFF header; ValueError where there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None:
        raise ValueError("no TIFF header")
    return order


def read_ifd(block: bytes | memoryview, order: str, offset: int) -> tuple[Ifd, int]:
    """The directory at `offset` and the offset of the next one; values that lie outside the block are left out.

    ValueError where the values together are longer than the block: entries that share their bytes would let a small
    file fill the memory.
    """
    (count,) = struct.unpack_from(order + "H", block, offset)
    entries: Ifd = {}
    budget = len(block)
    for at in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", block, at)
        size = _TYPE_BYTES.get(kind, 0) * number
        start = at + 8 if size <= 4 else struct.unpack_from(order + "I", block, at + 8)[0]
        if size and start + size <= len(block):
            budget -= size
            if budget < 0:
                raise ValueError("directory entries overlap")
            entries[tag] = Entry(kind, number, bytes(block[start : start + size]), start)
    (following,) = struct.unpack_from(order + "I", block, offset + 2 + 12 * count)
    return entries, following


def number(entry: Entry | None, order: str) -> int | None:
    """The first value of a SHORT or LONG entry."""
    if entry is None or entry.kind not in (_SHORT, _LONG):
        return None
    value: int = struct.unpack_from(order + ("H" if entry.kind == _SHORT else "I"), entry.value)[0]
    return value


def plain(block: bytes | None) -> bytes | None:
    """The block without the 'Exif' prefix that JPEG, and by mistake other files, put before it."""
    return block[6:] if block and block[:6] == b"Exif\0\0" else block


def orientation(block: bytes | None) -> int:
    """EXIF orientation 1 to 8; 1 where the block does not say or cannot be read."""
    try:
        block = plain(block) or b""
        order = byte_order(block)
        entries, _ = read_ifd(block, order, struct.unpack_from(order + "I", block, 4)[0])
    except (ValueError, struct.error):
        return 1
    value = number(entries.get(ORIENTATION), order)
    return value if value is not None and 1 <= value <= 8 else 1


def clean(block: bytes | None) -> bytes | None:
    """The block without thumbnail, with orientation 1, without entries that point outside; ValueError where broken."""
    block = plain(block)
    if not block:
        return None
    if len(block) > MAX_EXIF_BYTES:
        raise ValueError(f"{len(block)} bytes of EXIF; at most {MAX_EXIF_BYTES} are kept")
    try:
        order = byte_order(block)
        start = struct.unpack_from(order + "I", block, 4)[0]
        known, _ = read_ifd(block, order, start)
        block = _keep_entries(block, order, start, lambda tag: tag in known)
        entries, following = read_ifd(block, order, start)
        edited = bytearray(block)
        _put(edited, order, entries.get(ORIENTATION), 1)
        end = start + 2 + 12 * struct.unpack_from(order + "H", block, start)[0]
        return _without_thumbnail(edited, order, end, following) if following else bytes(edited)
    except struct.error:
        raise ValueError("broken EXIF directory") from None


def _without_thumbnail(block: bytearray, order: str, link: int, following: int) -> bytes:
    """Unlink the second directory, blank it and the thumbnail behind it, cut the block where it then ends in zeros."""
    struct.pack_into(order + "I", block, link, 0)
    try:
        entries, _ = read_ifd(bytes(block), order, following)
    except (ValueError, struct.error):
        return bytes(block)
    table = 2 + 12 * struct.unpack_from(order + "H", block, following)[0] + 4
    at, size = (
        next((number(entries[tag], order) for tag in tags if tag in entries), None)
        for tags in (_THUMBNAIL_AT, _THUMBNAIL_BYTES)
    )
    spans = [(following, table)] + ([(at, size)] if at and size else [])
    for first, length in sorted(spans, reverse=True):
        last = min(first + length, len(block))
        if first < link + 4:  # a directory that overlaps the first one is a lie
            continue
        if last >= len(block) - 3:
            del block[first:]
        else:
            block[first:last] = bytes(last - first)
    return bytes(block)


def _put(block: bytearray, order: str, entry: Entry | None, value: int) -> None:
    if entry is None or entry.kind not in (_SHORT, _LONG) or (entry.kind == _SHORT and value > 0xFFFF):
        return
    struct.pack_into(order + ("H" if entry.kind == _SHORT else "I"), block, entry.at, value)


def with_values(block: bytes, values: dict[int, int]) -> bytes:
    """The block with these SHORT or LONG tags of its Exif directory set, where it has them."""
    try:
        order = byte_order(block)
        first, _ = read_ifd(block, order, struct.unpack_from(order + "I", block, 4)[0])
        camera, _ = read_ifd(block, order, number(first.get(EXIF_IFD), order) or len(block))
    except (ValueError, struct.error):
        return block
    edited = bytearray(block)
    for tag, value in values.items():
        _put(edited, order, camera.get(tag), value)
    return bytes(edited)


def write_ifd(entries: Ifd, order: str, at: int) -> bytes:
    """A directory for file offset `at` (even) followed by its values; it is the last of its chain."""
    table, values = [struct.pack(order + "H", len(entries))], b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        if len(entry.value) <= 4:
            field = entry.value.ljust(4, b"\0")
        else:
            field = struct.pack(order + "I", start + len(values))
            values += entry.value + b"\0" * (len(entry.value) % 2)
        table.append(struct.pack(order + "HHI", tag, entry.kind, entry.number) + field)
    return b"".join(table) + bytes(4) + values


def directories(block: bytes | memoryview, order: str, start: int) -> dict[int, Ifd]:
    """The directory at `start` under key 0, those it points to (Exif, GPS) under their tags; broken ones left out."""
    by_tag: dict[int, Ifd] = {}
    try:
        by_tag[0], _ = read_ifd(block, order, start)
        for tag in (EXIF_IFD, GPS_IFD):
            offset = number(by_tag[0].get(tag), order)
            if offset:
                by_tag[tag], _ = read_ifd(block, order, offset)
    except (ValueError, struct.error):
        return by_tag
    return by_tag


def write_directories(by_tag: dict[int, Ifd], order: str, at: int) -> bytes:
    """`directories` laid out from file offset `at` on; the first directory comes first."""
    first = {tag: entry for tag, entry in by_tag[0].items() if tag not in (EXIF_IFD, GPS_IFD)}
    inner = {
        tag: {t: e for t, e in by_tag[tag].items() if t != INTEROP_IFD} for tag in (EXIF_IFD, GPS_IFD) if tag in by_tag
    }
    pointers = {tag: Entry(_LONG, 1, bytes(4)) for tag in inner}
    offset = at + len(write_ifd(first | pointers, order, at))
    parts = []
    for tag, entries in inner.items():
        pointers[tag] = Entry(_LONG, 1, struct.pack(order + "I", offset))
        parts.append(write_ifd(entries, order, offset))
        offset += len(parts[-1])
    return write_ifd(first | pointers, order, at) + b"".join(parts)


def without_orientation(block: bytes) -> bytes:
    """The block without its orientation entry; nothing behind the directory moves."""
    try:
        order = byte_order(block)
        start = struct.unpack_from(order + "I", block, 4)[0]
        return _keep_entries(block, order, start, lambda tag: tag != ORIENTATION)
    except (ValueError, struct.error):
        return block


def _keep_entries(block: bytes, order: str, start: int, wanted: Callable[[int], bool]) -> bytes:
    """The block with only the wanted entries in the directory at `start`, and zeros in the room left."""
    (count,) = struct.unpack_from(order + "H", block, start)
    first, end = start + 2, start + 2 + 12 * count
    kept = [
        block[at : at + 12] for at in range(first, end, 12) if wanted(struct.unpack_from(order + "H", block, at)[0])
    ]
    link, gap = block[end : end + 4], bytes(12 * (count - len(kept)))
    head = block[:start] + struct.pack(order + "H", len(kept))
    return b"".join((head, *kept, link, gap, block[end + 4 :]))
