"""Segments of a JPEG: those before its picture listed one by one, one written. Nothing here reads a pixel.

Source: ITU-T T.81 (1992) annex B.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from workers.errors import CorruptPicture

MAX_SEGMENTS = 2000  # 50 MB of extended XMP are 800; each is a turn of a loop that holds the interpreter
SOS, EOI = 0xDA, 0xD9
MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MAX_STRAY_BYTES = 65536
_SEGMENT = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")  # a marker that has a length, or the end of the picture


class Segment(NamedTuple):
    marker: int
    payload: bytes
    end: int  # where the next one begins


def segments(data: bytes) -> Iterator[Segment]:
    """Each segment up to and including the first start of scan."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        match = _SEGMENT.search(data, at, at + _MAX_STRAY_BYTES)
        if match is None or match.start() + 4 > len(data):
            break
        at = match.start()
        marker = data[at + 1]
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == EOI or size < 2 or at + 2 + size > len(data):
            break
        yield Segment(marker, data[at + 4 : at + 2 + size], at + 2 + size)
        if marker == SOS:
            return
        at += 2 + size
    else:
        raise CorruptPicture(f"the JPEG has more than {MAX_SEGMENTS} segments before its picture")
    raise CorruptPicture("the JPEG ends before its picture begins")


def frame(data: bytes) -> Segment:
    """Marker and payload of the frame header."""
    return checked(next((segment for segment in segments(data) if segment.marker in SOF), None))


def checked(header: Segment | None) -> Segment:
    """A frame header that is there, and long enough."""
    if header is None or len(header.payload) < 6:
        raise CorruptPicture("the JPEG has no frame header")
    return header


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload
