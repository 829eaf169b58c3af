"""JPEG: header, pixels through libjpeg-turbo (simplejpeg), EXIF and ICC spliced into what it writes.

Multi-picture files (MPO) give their first picture. Lossless, 12-bit and hierarchical JPEG are refused.
Source: ITU-T T.81 (1992) annex B; JFIF 1.02; ICC.1:2010 annex B.4; Exif 2.32 section 4.7.
"""

from __future__ import annotations

import logging
import re
import struct
from itertools import islice
from typing import TYPE_CHECKING

from workers.errors import CorruptPicture, NotAPicture
from workers.pictures.codecs import exif, jpeg_pixels
from workers.pictures.codecs.jpeg_segments import EOI, MARKER, SOF, SOS, Segment, checked, segment, segments
from workers.pictures.picture import Header, Scan, turned

if TYPE_CHECKING:
    from workers.pictures.picture import Pixels, Room

log = logging.getLogger(__name__)

MAX_SIDE = 65500
MAX_SCANS = 200  # progressive encoders write about ten; each scan walks over all coefficients once more
_SOF_READ = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_APP1, _APP2 = 0xE1, 0xE2
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_SEGMENT_BYTES = 65533
_SCAN = re.compile(rb"\xff\xda")  # found in less than half of the time of `bytes.count`


def read_header(data: bytes) -> Header:
    (marker, payload, _), block = _frame_and_exif(data)
    precision, height, width, components = struct.unpack_from(">BHHB", payload)
    if marker not in _SOF_READ or precision != 8 or components not in (1, 3, 4):
        raise NotAPicture(
            f"JPEG of {precision} bits and {components} components (SOF {marker - 0xC0}) is not supported"
        )
    if not width or not height:
        raise CorruptPicture(f"the JPEG header says {width}x{height} pixels")
    width, height = turned(width, height, exif.orientation(block))
    return Header("jpeg", width, height, 8, has_alpha=False, is_grey=components == 1, lossy=True)


def _frame_and_exif(data: bytes) -> tuple[Segment, bytes | None]:
    """The frame header and the first block of EXIF, by one walk over the segments, which ends where both are known."""
    header = block = None
    for one in segments(data):
        if one.marker in SOF and header is None:
            header = one
        elif one.marker == _APP1 and one.payload[:6] == _EXIF and block is None:
            block = one.payload[6:]
        if header is not None and block is not None:
            break
    return checked(header), block


def _icc_of(data: bytes) -> bytes | None:
    """The profile, its chunks put in order; None where chunks are missing."""
    chunks: dict[int, bytes] = {}
    total = 0
    for marker, payload, _ in segments(data):
        if marker == _APP2 and payload[:12] == _ICC and len(payload) > 14:
            chunks.setdefault(payload[12], payload[14:])
            total = payload[13]
    if not chunks:
        return None
    if set(chunks) != set(range(1, total + 1)):
        log.warning(
            "ICC profile of a JPEG is dropped: chunks are missing", extra={"chunks": len(chunks), "total": total}
        )
        return None
    return b"".join(chunks[index] for index in range(1, total + 1))


def decode(data: bytes, room: Room | None = None) -> Scan:
    _refuse_scan_bomb(data)
    header, block = _frame_and_exif(data)
    _, height, width, components = struct.unpack_from(">BHHB", header.payload)
    buffer = room(height * width * components) if room else None
    pixels = jpeg_pixels.decode(data, {1: "GRAY", 3: "RGB", 4: "CMYK"}[components], buffer)
    if components == 4:
        import numpy as np

        np.subtract(255, pixels, out=pixels)  # every CMYK JPEG in the wild follows Adobe: 255 is no ink
    return Scan(pixels, icc=_icc_of(data), exif=block, orientation=exif.orientation(block))


def _refuse_scan_bomb(data: bytes) -> None:
    if next(islice(_SCAN.finditer(data), MAX_SCANS, None), None) is None:  # cheap, and enough for nearly all files
        return
    scans, at = 0, data.find(b"\xff\xda")
    while True:
        match = MARKER.search(data, at)
        if match is None or data[match.start() + 1] == EOI:
            return
        marker, at = data[match.start() + 1], match.end()
        scans += marker == SOS
        if scans > MAX_SCANS:
            raise CorruptPicture(f"the JPEG has more than {MAX_SCANS} scans")
        if marker not in (0x01, 0xD8):
            at += max(2, int.from_bytes(data[at : at + 2], "big"))


def encode(pixels: Pixels, quality: int | None, icc: bytes | None, block: bytes | None) -> bytes:
    """8-bit grey or RGB. Colour at full resolution from quality 90 on, and by default (92); halved below."""
    import simplejpeg

    quality = 92 if quality is None else quality
    grey = pixels.shape[2] == 1
    sampling = "Gray" if grey else "444" if quality >= 90 else "420"
    body: bytes = simplejpeg.encode_jpeg(pixels, quality, "GRAY" if grey else "RGB", sampling)
    return _spliced(body, icc, block)


def _spliced(body: bytes, icc: bytes | None, block: bytes | None) -> bytes:
    """EXIF and ICC segments behind the JFIF segment."""
    parts = []
    if block and len(block) > _SEGMENT_BYTES - len(_EXIF):
        log.warning("EXIF is dropped: too large for a JPEG", extra={"bytes": len(block)})
    elif block:
        parts.append(segment(_APP1, _EXIF + block))
    if icc:
        step = _SEGMENT_BYTES - len(_ICC) - 2
        chunks = [icc[at : at + step] for at in range(0, len(icc), step)]
        parts += [segment(_APP2, _ICC + bytes((i, len(chunks))) + chunk) for i, chunk in enumerate(chunks, 1)]
    if not parts:
        return body
    at = 4 + int.from_bytes(body[4:6], "big") if body[2:4] == b"\xff\xe0" else 2
    return b"".join((body[:at], *parts, memoryview(body)[at:]))
