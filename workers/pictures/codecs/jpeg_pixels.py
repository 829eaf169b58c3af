"""Pixels of a JPEG through libjpeg-turbo, strictly: a picture that lacks a part is an error, one that is whole is none.

libjpeg warns of both alike, and says nothing more after its first warning. So the decoder stops at any warning; what is
known to lose no pixels is then put right in the bytes, and the decoder has to judge the rest as strictly: stray bytes
and odd versions in the header, damaged profiles, scan headers whose spectral selection a sequential decoder does not
need, a few stray bytes behind a scan. Source: ITU-T T.81 (1992) annex B and section G.1.1; libjpeg's jerror.h.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from workers.pictures.codecs.jpeg_segments import EOI, MARKER, SOS, frame, segment, segments
from workers.pictures.memory_file import memory_file

if TYPE_CHECKING:
    from workers.pictures.picture import Buffer, Pixels

_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_STRAY_BYTES, _STRAYS, _STRAY_PLACES = 16, 8, 24
_APP0, _APP14, _APP15, _COMMENT = 0xE0, 0xEE, 0xEF, 0xFE
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_WHOLE_BLOCK = b"\x00\x3f\x00"  # all 64 coefficients in one scan


def decode(data: bytes, colorspace: str, buffer: Buffer | None = None) -> Pixels:
    """(H, W, C) as `colorspace` says: GRAY, RGB or CMYK; at the start of a `buffer` but for rare files.

    ValueError where pixels are missing, or the buffer is too small.
    """
    try:
        return _strict(data, colorspace, buffer)
    except ValueError:
        data = _bare(data)
    for _ in range(_STRAYS):
        try:
            return _strict(data, colorspace, buffer)
        except ValueError as error:
            data = _without_stray(data, str(error), colorspace)
    raise ValueError("stray bytes in many places")


def _strict(data: bytes, colorspace: str, buffer: Buffer | None = None) -> Pixels:
    import simplejpeg

    try:
        pixels: Pixels = simplejpeg.decode_jpeg(data, colorspace, strict=True, buffer=buffer)
    except ValueError as error:
        if "subsampling" not in str(error):
            raise
        return _of_any_sampling(data, colorspace)
    return pixels


def _of_any_sampling(data: bytes, colorspace: str) -> Pixels:
    """For sampling factors that TurboJPEG has no name for and refuses, though libjpeg reads them.

    Of the other decoders OpenCV alone reports libjpeg's warnings, on standard error; it judges, at an eighth of the
    size, and the pixels come from another. Such files are rare.
    """
    import cv2
    import imagecodecs
    import numpy as np

    with _standard_error() as printed:
        seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        warning = printed()
    if seen is None or warning:
        raise ValueError(warning or "it cannot be decoded")
    pixels: Pixels = imagecodecs.jpeg8_decode(data, outcolorspace={"GRAY": "GRAYSCALE"}.get(colorspace, colorspace))
    return pixels.reshape(*pixels.shape[:2], -1)


@contextmanager
def _standard_error() -> Iterator[Callable[[], str]]:
    """Catches what C code prints meanwhile; the call gives it."""
    file, kept = memory_file("printed"), os.dup(2)
    os.dup2(file, 2)
    try:
        yield lambda: os.pread(file, 1000, 0).decode(errors="replace").strip()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(file)


def _bare(data: bytes) -> bytes:
    """The file with a header of what pixels need and no more, and each scan header as its kind of frame wants it."""
    header = frame(data)
    sequential, components, kept, end = header.marker in _SEQUENTIAL, header.payload[5], [data[:2]], 2
    for one in segments(data):
        marker, payload, end = one
        if marker == _APP0 and payload[:5] == b"JFIF\0":
            payload = payload[:5] + b"\x01\x02" + payload[7:]
        elif marker == _APP14 and payload[:5] == b"Adobe" and len(payload) >= 12:
            payload = payload[:11] + _colour_transform(payload[11], components) + payload[12:]
        elif _APP0 <= marker <= _APP15 or marker == _COMMENT:
            continue
        elif marker == SOS and sequential:
            payload = payload[:-3] + _WHOLE_BLOCK
        kept.append(segment(marker, payload))
    tail = data[end:]
    return b"".join((*kept, _with_whole_blocks(tail) if sequential else tail))


def _colour_transform(declared: int, components: int) -> bytes:
    """What libjpeg takes an unknown code for: YCbCr, or YCCK."""
    known, assumed = ((0, 1), 1) if components == 3 else ((0, 2), 2)
    return bytes((declared if declared in known else assumed,))


def _with_whole_blocks(tail: bytes) -> bytes:
    """All further scan headers of a sequential JPEG, of one component each or more, rewritten to hold whole blocks."""
    edited, at = bytearray(tail), 0
    while (match := MARKER.search(tail, at)) and tail[match.start() + 1] != EOI:
        at = match.end()
        end = at + max(2, int.from_bytes(tail[at : at + 2], "big"))
        if tail[at - 1] == SOS and end <= len(tail):
            edited[end - 3 : end] = _WHOLE_BLOCK
        at = end
    return bytes(edited)


def _without_stray(data: bytes, warning: str, colorspace: str) -> bytes:
    """The file without the stray bytes that the warning names; ValueError where it is another or they are many.

    It does not say before which of several such markers they are, so each place is tried in turn: to cut real data
    is a worse warning, and comes before any that is left.
    """
    strays = _few_strays(warning)
    if strays is None:
        raise ValueError(warning)
    count, marker = strays
    first_scan = list(segments(data))[-1].end
    places = (match.start() for match in re.compile(re.escape(marker)).finditer(data, first_scan))
    for place in islice(places, _STRAY_PLACES):
        shorter = data[: place - count] + data[place:]
        try:
            _strict(shorter, colorspace)
        except ValueError as error:
            if _few_strays(str(error)) is None:
                continue
        return shorter
    raise ValueError(warning)


def _few_strays(warning: str) -> tuple[int, bytes] | None:
    """How many stray bytes before which marker; None where the warning is another, or there are many."""
    match = _STRAY.search(warning)
    return (int(match[1]), bytes((0xFF, int(match[2], 16)))) if match and int(match[1]) <= _STRAY_BYTES else None
