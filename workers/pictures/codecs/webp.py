"""WebP: chunks of the RIFF file, header, pixels through libwebp; an animation gives its first frame.

WebP has no grey and no 16 bits: grey is written as RGB. Source: RFC 9649 (2024), sections 2 and 3.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from workers.errors import CorruptPicture
from workers.pictures.codecs import exif
from workers.pictures.picture import MAX_PARTS, Header, Scan, turned

if TYPE_CHECKING:
    from workers.pictures.picture import Pixels

MAX_SIDE = 16383
_LOSSLESS_EFFORT = 50  # with method 2 half the time of Pillow's choice for 1 per cent more bytes
_ALPHA, _ANIMATION = 0x10, 0x02  # flags of VP8X


def matches(data: bytes) -> bool:
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and data[12:15] == b"VP8"


def chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and size of each chunk; CorruptPicture where the file is shorter than it says."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise CorruptPicture("the WebP is incomplete")
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > end:
            raise CorruptPicture("the WebP is incomplete")
        yield data[at : at + 4], at + 8, size
        at += 8 + size + size % 2
    raise CorruptPicture("the WebP is cut into too many chunks")


def read_header(data: bytes) -> Header:
    """By the first chunk, as libwebp has it: that is an extended header, or the only picture, whatever follows."""
    every = list(chunks(data))
    flags = _flags(data, every)
    picture = next((one for one in every if one[0] in (b"VP8 ", b"VP8L")), None)
    if flags is None and (picture is None or picture is not every[0]):
        raise CorruptPicture("the WebP holds no picture")
    frame = _frame(data, *picture) if picture else Frame((0, 0), None)
    width, height = frame.size if flags is None else _canvas(data, every[0][1])
    places = {kind: (start, size) for kind, start, size in reversed(every)}
    alpha = bool((flags or 0) & _ALPHA) or b"ALPH" in places
    if frame.alpha is not None and not (flags or 0) & _ANIMATION:
        alpha = frame.alpha
    width, height = turned(width, height, exif.orientation(_chunk(data, places.get(b"EXIF"))))
    lossy = picture[0] == b"VP8 " if picture else b"VP8 " in data
    return Header("webp", width, height, 8, has_alpha=alpha, is_grey=False, lossy=lossy)


def _flags(data: bytes, every: list[tuple[bytes, int, int]]) -> int | None:
    """Of the extended header; None in a file that has none."""
    if not every or every[0][0] != b"VP8X":
        return None
    _, start, size = every[0]
    if size < 10:
        raise CorruptPicture("the WebP header is damaged")
    return data[start]


def _canvas(data: bytes, start: int) -> tuple[int, int]:
    width = 1 + int.from_bytes(data[start + 4 : start + 7], "little")
    height = 1 + int.from_bytes(data[start + 7 : start + 10], "little")
    return width, height


class Frame(NamedTuple):
    """What a picture's own head says; `alpha` None: it does not say."""

    size: tuple[int, int]
    alpha: bool | None


def _frame(data: bytes, kind: bytes, start: int, size: int) -> Frame:
    if kind == b"VP8 ":
        if size < 10 or data[start + 3 : start + 6] != b"\x9d\x01\x2a":
            raise CorruptPicture("the WebP header is damaged")
        width, height = struct.unpack_from("<HH", data, start + 6)
        return Frame((width & 0x3FFF, height & 0x3FFF), None)
    if size < 5 or data[start] != 0x2F:
        raise CorruptPicture("the WebP header is damaged")
    bits = int.from_bytes(data[start + 1 : start + 5], "little")
    return Frame((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)), bool(bits >> 28 & 1))


def _chunk(data: bytes, place: tuple[int, int] | None) -> bytes | None:
    return data[place[0] : place[0] + place[1]] if place else None


def decode(data: bytes) -> Scan:
    import numpy as np

    every = list(chunks(data))
    places = {kind: (start, size) for kind, start, size in reversed(every)}
    animated = bool((_flags(data, every) or 0) & _ANIMATION)
    pixels = _first_frame(data) if animated else _still(data)
    block = _chunk(data, places.get(b"EXIF"))
    alpha = np.ascontiguousarray(pixels[:, :, 3]) if pixels.shape[2] == 4 else None
    colour = np.ascontiguousarray(pixels[:, :, :3])
    return Scan(colour, alpha, _chunk(data, places.get(b"ICCP")), block, exif.orientation(block))


def _still(data: bytes) -> Pixels:
    import imagecodecs

    pixels: Pixels = imagecodecs.webp_decode(data)
    return pixels


def _first_frame(data: bytes) -> Pixels:
    """Laid on its canvas, which the plain decoder of libwebp does not do."""
    import numpy as np
    from PIL.WebPImagePlugin import WebPImageFile

    with WebPImageFile(io.BytesIO(data)) as image:
        return np.array(image)


def encode(
    pixels: Pixels,
    alpha: Pixels | None,
    quality: int | None,
    icc: bytes | None,
    block: bytes | None,
    *,
    lossless: bool = False,
) -> bytes:
    """8-bit RGB; quality 90 by default: the format halves the colour resolution at every quality but lossless."""
    import numpy as np
    from PIL import Image

    image = Image.fromarray(pixels if alpha is None else np.dstack((pixels, alpha)))
    out = io.BytesIO()
    image.save(
        out,
        "WEBP",
        lossless=lossless,
        quality=_LOSSLESS_EFFORT if lossless else 90 if quality is None else quality,
        method=2 if lossless else 4,
        exact=True,
        icc_profile=icc or b"",
        exif=block or b"",
    )
    return out.getvalue()
