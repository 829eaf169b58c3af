"""Picture files taken apart, changed in one part and put together again with lengths and checksums mended.

Without that nearly every change ends at the first checksum. A shape gives its parts as (kind, payload); what does not
come apart is changed as plain bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from tests.fuzz.mutations import mutated, number

Part = tuple[bytes, bytes]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0}
_CONTAINERS |= {b"stbl": 0, b"iref": 4, b"dinf": 0}
_TAGS: tuple[int, ...] = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    270,
    271,
    273,
    274,
    277,
    278,
    279,
    282,
    284,
    292,
    293,
    306,
    317,
    320,
    322,
)
_TAGS += (323, 324, 325, 330, 332, 338, 339, 347, 513, 514, 529, 530, 532, 700, 33432, 34665, 34675, 34853, 40961)
_TAGS += (40962, 40963, 40965, 50706)


class Shape(NamedTuple):
    """How a format comes apart and together, and how the inside of some kinds of parts is changed."""

    split: Callable[[bytes], list[Part]]
    join: Callable[[list[Part]], bytes]
    inside: dict[bytes, Callable[[bytes, Random], bytes]] = {}  # noqa: RUF012


def reshaped(shape: Shape, data: bytes, other: bytes, rng: Random) -> bytes:
    """A change of one or more parts; `other` gives parts of its own."""
    parts = shape.split(data)
    if not parts:
        return mutated(data, rng)
    while True:
        _change_parts(shape, parts, other, rng)
        if rng.random() < 0.6 or not parts:
            return shape.join(parts)


def _change_parts(shape: Shape, parts: list[Part], other: bytes, rng: Random) -> None:
    at = rng.randrange(len(parts))
    kind, payload = parts[at]
    match rng.choices(("inside", "bytes", "drop", "twice", "swap", "kind", "theirs"), (6, 4, 1, 1, 1, 1, 1))[0]:
        case "inside":
            known = [i for i, part in enumerate(parts) if part[0] in shape.inside]
            at = rng.choice(known) if known else at
            kind, payload = parts[at]
            parts[at] = kind, shape.inside.get(kind, mutated)(payload, rng)
        case "bytes":
            parts[at] = kind, mutated(payload, rng)
        case "drop":
            del parts[at]
        case "twice":
            parts.insert(rng.randint(0, len(parts)), parts[at])
        case "swap":
            to = rng.randrange(len(parts))
            parts[at], parts[to] = parts[to], parts[at]
        case "kind":
            parts[at] = rng.choice(parts)[0], payload
        case "theirs":
            theirs = shape.split(other)
            if theirs:
                parts.insert(rng.randint(0, len(parts)), rng.choice(theirs))


# ---- what lies inside --------------------------------------------------------------------------------------------


def unpacked(payload: bytes, rng: Random) -> bytes:
    """A zlib stream, changed in what it holds."""
    try:
        raw = zlib.decompressobj().decompress(payload, 1 << 20)
    except zlib.error:
        return mutated(payload, rng)
    return zlib.compress(mutated(raw, rng), 1)


def named_profile(payload: bytes, rng: Random) -> bytes:
    """PNG's iCCP: a name, then a packed profile."""
    name, end, packed = payload.partition(b"\0\0")
    try:
        raw = zlib.decompressobj().decompress(packed, 1 << 20)
    except zlib.error:
        return mutated(payload, rng)
    return name + end + zlib.compress(profile(raw, rng), 1)


def profile(data: bytes, rng: Random) -> bytes:
    """An ICC profile: its head, a line of its table, or what a tag holds; the size in its head mended mostly."""
    made = bytearray(data)
    if len(made) < 132 + 12:
        return mutated(data, rng)
    count = min(100, struct.unpack_from(">I", made, 128)[0], (len(made) - 132) // 12)
    line = 132 + 12 * rng.randrange(max(1, count))
    match rng.randrange(5):
        case 0:
            made[rng.randrange(128)] = rng.randrange(256)
        case 1:
            struct.pack_into(
                ">I", made, line + rng.choice((4, 8)), rng.choice((0, 1, 8, 128, len(made) - 8, len(made)))
            )
        case 2:
            to = 132 + 12 * rng.randrange(max(1, count))
            made[line + 4 : line + 12] = made[to + 4 : to + 12]
        case 3:
            made[16:24] = rng.choice((b"GRAY", b"RGB ", b"CMYK", b"Lab ")) + rng.choice((b"XYZ ", b"Lab ", b"RGB "))
        case _:
            at, size = struct.unpack_from(">II", made, line + 4)
            made[at : at + size] = mutated(bytes(made[at : at + size]), rng)[: max(0, size)].ljust(
                size % (1 << 20), b"\0"
            )
    if rng.random() < 0.9:
        struct.pack_into(">I", made, 0, len(made))
    return bytes(made)


def prefixed_exif(payload: bytes, rng: Random) -> bytes:
    """An APP1 segment: EXIF behind its name."""
    return b"Exif\0\0" + entries(payload[6:], rng) if payload.startswith(b"Exif\0\0") else mutated(payload, rng)


def prefixed_profile(payload: bytes, rng: Random) -> bytes:
    if payload.startswith(b"ICC_PROFILE\0") and rng.random() < 0.8:
        return payload[:14] + profile(payload[14:], rng)
    return mutated(payload, rng)


def entries(data: bytes, rng: Random) -> bytes:
    """A TIFF or EXIF block with lines of a directory changed in place: tag, type, number, value or place."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 14:
        return mutated(data, rng)
    made, start = bytearray(data), struct.unpack_from(order + "I", data, 4)[0]
    if start + 14 > len(data):
        return mutated(data, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        count = max(1, min(struct.unpack_from(order + "H", made, start)[0], (len(made) - start - 6) // 12))
        at = start + 2 + 12 * rng.randrange(count)
        _change_entry(made, order, start, at, rng)
    return bytes(made)


def _change_entry(made: bytearray, order: str, start: int, at: int, rng: Random) -> None:
    match rng.choices(("tag", "kind", "count", "value", "small", "link", "length", "whole"), (3, 2, 3, 4, 4, 1, 1, 1))[
        0
    ]:
        case "tag":
            struct.pack_into(order + "H", made, at, rng.choice(_TAGS))
        case "kind":
            struct.pack_into(order + "H", made, at + 2, rng.choice((*range(14), 16, 17, 18, 255, 65535)))
        case "count":
            struct.pack_into(order + "I", made, at + 4, rng.choice((0, 1, 2, 3, 4, 5, 64, 65, 1000, 10**6, 2**32 - 1)))
        case "value":
            made[at + 8 : at + 12] = number(rng, 4)
        case "small":
            struct.pack_into(order + "HH", made, at + 8, rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32773)), 0)
        case "link":
            struct.pack_into(order + "I", made, 4, rng.choice((0, 8, start, len(made) - 4, rng.randrange(len(made)))))
        case "length":
            struct.pack_into(order + "H", made, start, rng.choice((0, 1, 5, 20, 65535)))
        case "whole":
            made[:] = mutated(bytes(made), rng).ljust(len(made), b"\0")


# ---- the formats -------------------------------------------------------------------------------------------------


def _png_parts(data: bytes) -> list[Part]:
    parts, at = list[Part](), 8
    while data.startswith(PNG_SIGNATURE) and at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        parts.append((kind, data[at + 8 : at + 8 + size]))
        at += 12 + size
    return parts


def _png(parts: list[Part]) -> bytes:
    made = (
        struct.pack(">I4s", len(payload), kind) + payload + struct.pack(">I", zlib.crc32(kind + payload))
        for kind, payload in parts
    )
    return b"".join((PNG_SIGNATURE, *made))


def _header_number(payload: bytes, rng: Random) -> bytes:
    """IHDR: sides that stay small mostly, and kinds of samples."""
    made = bytearray(payload.ljust(13, b"\0"))
    at = rng.choice((0, 4, 8, 9, 12))
    if at < 8:
        struct.pack_into(">I", made, at, rng.choice((0, 1, 2, 7, 31, 33, 1000, 2**31 - 1)))
    else:
        made[at] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16))
    return bytes(made)


def _jpeg_parts(data: bytes) -> list[Part]:
    """Segments; each scan is a part with what it codes."""
    parts, at = list[Part](), 2
    while data.startswith(b"\xff\xd8") and at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        parts.append((marker, data[at + 4 : at + 2 + size]))
        at += 2 + max(2, size)
        if marker == b"\xff\xda":
            end = at
            while end < len(data) - 1 and (data[end] != 0xFF or data[end + 1] in (0, *range(0xD0, 0xD8))):
                end += 1
            parts.append((b"", data[at:end]))
            at = end
            if data[at : at + 2] == b"\xff\xd9":
                parts.append((b"", data[at:]))
                break
    return parts


def _jpeg(parts: list[Part]) -> bytes:
    made = (
        kind + struct.pack(">H", min(65535, len(payload) + 2)) + payload[:65533] if kind else payload
        for kind, payload in parts
    )
    return b"".join((b"\xff\xd8", *made))


def _webp_parts(data: bytes) -> list[Part]:
    parts, at = list[Part](), 12
    while data.startswith(b"RIFF") and at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        parts.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return parts


def _webp(parts: list[Part]) -> bytes:
    made = b"".join(struct.pack("<4sI", kind, len(body)) + body + bytes(len(body) % 2) for kind, body in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(made)) + b"WEBP" + made


def _boxes(data: bytes) -> list[Part]:
    parts, at = list[Part](), 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8:
            break
        parts.append((kind, data[at + 8 : at + size]))
        at += size
    return parts


def _boxed(parts: list[Part]) -> bytes:
    return b"".join(struct.pack(">I4s", 8 + len(payload), kind) + payload for kind, payload in parts)


def _within(skip: int) -> Callable[[bytes, Random], bytes]:
    """A box of boxes: one of them is changed, at any depth; its length stays, because places in the file count."""

    def change(payload: bytes, rng: Random) -> bytes:
        parts = _boxes(payload[skip:])
        if not parts or rng.random() < 0.1:
            return mutated(payload, rng)
        if rng.random() < 0.15:
            return payload[:skip] + reshaped(Shape(_boxes, _boxed), payload[skip:], b"", rng)
        at = rng.randrange(len(parts))
        kind, inner = parts[at]
        made = BOX_INSIDE[kind](inner, rng) if kind in BOX_INSIDE else mutated(inner, rng)
        parts[at] = kind, made[: len(inner)].ljust(len(inner), b"\0")
        return payload[:skip] + _boxed(parts)

    return change


BOX_INSIDE: dict[bytes, Callable[[bytes, Random], bytes]] = {kind: _within(skip) for kind, skip in _CONTAINERS.items()}


def _gif_parts(data: bytes) -> list[Part]:
    """The screen with its colours, then blocks; sub-blocks stay as they are."""
    if data[:3] != b"GIF" or len(data) < 14:
        return []
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    parts = [(b"", data[:at])]
    while at + 2 < len(data) and data[at] in (0x21, 0x2C):
        start = at
        at += 2 if data[at] == 0x21 else 11 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0)
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        parts.append((b"", data[start:at]))
        if at >= len(data) - 1:
            break
    return [*parts, (b"", data[at:])]


def _joined(parts: list[Part]) -> bytes:
    return b"".join(payload for _, payload in parts)


def _whole(data: bytes) -> list[Part]:
    return [(b"", data)] if data else []


def _bitmap_header(data: bytes, rng: Random) -> bytes:
    """BMP: a number of its head."""
    made, at = bytearray(data), rng.choice((10, 14, 18, 22, 26, 28, 30, 34, 46, 50, 54, 58, 62, 66))
    if at + 4 > len(made):
        return mutated(data, rng)
    made[at : at + 4] = (
        number(rng, 4) if rng.random() < 0.5 else struct.pack("<HH", rng.choice((0, 1, 2, 3, 4, 8, 16, 24, 32)), 0)
    )
    return bytes(made)


Inside = Callable[[bytes, Random], bytes]
_PNG_INSIDE: dict[bytes, Inside] = {
    b"IDAT": unpacked,
    b"iCCP": named_profile,
    b"eXIf": entries,
    b"IHDR": _header_number,
}
_JPEG_INSIDE: dict[bytes, Inside] = {b"\xff\xe1": prefixed_exif, b"\xff\xe2": prefixed_profile}
_WEBP_INSIDE: dict[bytes, Inside] = {b"EXIF": entries, b"ICCP": profile}

SHAPES = {
    "png": Shape(_png_parts, _png, _PNG_INSIDE),
    "jpeg": Shape(_jpeg_parts, _jpeg, _JPEG_INSIDE),
    "webp": Shape(_webp_parts, _webp, _WEBP_INSIDE),
    "avif": Shape(_boxes, _boxed, BOX_INSIDE),
    "heic": Shape(_boxes, _boxed, BOX_INSIDE),
    "gif": Shape(_gif_parts, _joined),
    "tiff": Shape(_whole, _joined, {b"": entries}),
    "exif": Shape(_whole, _joined, {b"": entries}),
    "bmp": Shape(_whole, _joined, {b"": _bitmap_header}),
    "icc": Shape(_whole, _joined, {b"": profile}),
}
