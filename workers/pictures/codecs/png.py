"""PNG: chunks, header, pixels through libpng (imagecodecs) at 8 and 16 bits, EXIF and ICC spliced into what it writes.

Of an animated PNG the default picture is taken. Colours count in whichever chunk they are declared.
Source: PNG specification, third edition (W3C 2025).
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

from workers.errors import CorruptPicture
from workers.pictures.codecs import cicp, exif
from workers.pictures.picture import MAX_EXIF_BYTES, MAX_ICC_BYTES, MAX_PARTS, Header, Scan, turned

if TYPE_CHECKING:
    from workers.pictures.picture import Pixels

log = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 1_000_000  # of libpng, which neither reads nor writes more
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_FILTER_PAETH, _STRATEGY_RLE = 128, 3
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # x y dx dy
_COLOUR_SIZES = {b"cICP": 4, b"gAMA": 4, b"cHRM": 32}
_MEASURED_BYTES = 4 * 1024**2


class Chunk(NamedTuple):
    kind: bytes
    start: int  # of the payload
    size: int


class Ihdr(NamedTuple):
    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlace: int


def chunks(data: bytes) -> Iterator[Chunk]:
    """Each chunk up to and including IEND; CorruptPicture where the file ends before it."""
    at = len(SIGNATURE)
    for _ in range(MAX_PARTS):
        if at + 12 > len(data):
            break
        size, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + size > len(data):
            break
        yield Chunk(kind, at + 8, size)
        if kind == b"IEND":
            return
        at += 12 + size
    raise CorruptPicture("the PNG ends before its end mark, or is cut into too many chunks")


def _intact(data: bytes, chunk: Chunk) -> bool:
    end = chunk.start + chunk.size
    return zlib.crc32(memoryview(data)[chunk.start - 4 : end]) == int.from_bytes(data[end : end + 4], "big")


def read_ihdr(data: bytes) -> Ihdr:
    first = Chunk(b"IHDR", 16, 13)
    if len(data) < 33 or data[8:16] != b"\0\0\0\x0dIHDR" or not _intact(data, first):
        raise CorruptPicture("the PNG header is damaged")
    ihdr = Ihdr(*struct.unpack_from(">IIBBBBB", data, 16))
    known = ihdr.depth in _DEPTHS.get(ihdr.colour, ()) and ihdr.interlace <= 1
    if (
        not known
        or ihdr.compression
        or ihdr.filtering
        or not 0 < ihdr.width <= MAX_SIDE
        or not 0 < ihdr.height <= MAX_SIDE
    ):
        raise CorruptPicture(
            f"the PNG header says {ihdr.width}x{ihdr.height} pixels, {ihdr.depth} bits, colour type {ihdr.colour}"
        )
    return ihdr


def read_header(data: bytes) -> Header:
    ihdr = read_ihdr(data)
    transparent, block = False, None
    for chunk in chunks(data):
        if chunk.kind == b"tRNS":
            transparent = True
        elif chunk.kind == b"eXIf" and block is None:
            block = _exif_in(data, chunk)
    width, height = turned(ihdr.width, ihdr.height, exif.orientation(block))
    depth = 16 if ihdr.depth == 16 else 8
    alpha = ihdr.colour in (4, 6) or transparent
    return Header("png", width, height, depth, has_alpha=alpha, is_grey=ihdr.colour in (0, 4), lossy=False)


def _exif_in(data: bytes, chunk: Chunk) -> bytes | None:
    if chunk.size > MAX_EXIF_BYTES or not _intact(data, chunk):
        log.warning("EXIF of a PNG is dropped: too large or damaged", extra={"bytes": chunk.size})
        return None
    return data[chunk.start : chunk.start + chunk.size]


def _icc_in(data: bytes, chunk: Chunk) -> bytes | None:
    """The profile of an iCCP chunk, unpacked at most to the size a profile can have."""
    packed = data[chunk.start : chunk.start + chunk.size]
    name_end = packed.find(b"\0", 0, 80)
    try:
        unpack = zlib.decompressobj()
        profile = unpack.decompress(packed[name_end + 2 :], MAX_ICC_BYTES)
    except zlib.error:
        profile, unpack = b"", zlib.decompressobj()
    if name_end < 0 or not unpack.eof or not _intact(data, chunk):
        log.warning("ICC profile of a PNG is dropped: too large or damaged", extra={"bytes": chunk.size})
        return None
    return profile


def _profile_in(data: bytes, first: dict[bytes, Chunk], *, is_grey: bool) -> bytes | None:
    """The profile of the colours, by the order in which PNG's chunks count: cICP, iCCP, sRGB, then cHRM and gAMA."""
    payload = {
        kind: data[chunk.start : chunk.start + chunk.size]
        for kind, chunk in first.items()
        if chunk.size == _COLOUR_SIZES.get(kind) and _intact(data, chunk)
    }
    if payload.get(b"cICP", b"")[2:] == b"\0\1":  # RGB, full range
        return cicp.profile(*payload[b"cICP"][:2], is_grey=is_grey)
    if b"iCCP" in first:
        return _icc_in(data, first[b"iCCP"])
    if b"sRGB" in first or not payload.keys() & {b"cHRM", b"gAMA"}:
        return None
    places = struct.unpack(">8I", payload[b"cHRM"]) if b"cHRM" in payload else None
    gamma = int.from_bytes(payload.get(b"gAMA", b""), "big")
    chromaticities = cast("cicp.Chromaticities", tuple(value / 1e5 for value in places)) if places else None
    return cicp.of_gamma(chromaticities, 1e5 / gamma if gamma else None, is_grey=is_grey)


def decode(data: bytes) -> Scan:
    ihdr = read_ihdr(data)
    every_chunk = list(chunks(data))
    first = {chunk.kind: chunk for chunk in reversed(every_chunk)}
    icc = _profile_in(data, first, is_grey=ihdr.colour in (0, 4))
    block = _exif_in(data, first[b"eXIf"]) if b"eXIf" in first else None
    whole = _refuse_other_size(data, every_chunk, ihdr)
    pixels, alpha = _split(
        _pixels(_bare(data, every_chunk) if whole is None else _trimmed(data, every_chunk, whole), ihdr)
    )
    return Scan(pixels, alpha, icc, block, exif.orientation(block))


def _raw_bytes(ihdr: Ihdr) -> int:
    """Bytes of the filtered rows before deflate."""
    total = 0
    for x, y, dx, dy in _ADAM7 if ihdr.interlace else ((0, 0, 1, 1),):
        width, height = -(-(ihdr.width - x) // dx), -(-(ihdr.height - y) // dy)
        total += height * _row_bytes(ihdr, width) if width > 0 and height > 0 else 0
    return total


def _row_bytes(ihdr: Ihdr, width: int) -> int:
    """A filtered row of so many pixels."""
    return 1 + (width * _SAMPLES[ihdr.colour] * ihdr.depth + 7) // 8


def _refuse_other_size(data: bytes, every_chunk: list[Chunk], ihdr: Ihdr) -> bytes | None:
    """CorruptPicture where the data are not what the header says: libpng would cut another picture to garbage.

    Exact for small pictures; for large ones, where unpacking twice is felt, by what deflate can blow up at most. Less
    than a row too much is no other picture: the rows without it come back then, else None.
    """
    view, raw = memoryview(data), _raw_bytes(ihdr)
    parts = [view[chunk.start : chunk.start + chunk.size] for chunk in every_chunk if chunk.kind == b"IDAT"]
    rows: bytes | None = None
    if raw <= _MEASURED_BYTES and len(_unpacked(parts, raw)) != raw:
        rows = _unpacked(parts, raw + max(_row_bytes(ihdr, ihdr.width), 16) - 1)[:raw]
    if sum(map(len, parts)) > raw + raw // 8 + 1024 or (rows is not None and len(rows) < raw):
        raise CorruptPicture("the PNG holds more or less than its header says")
    return rows


def _unpacked(parts: list[memoryview], most: int) -> bytes:
    """Nothing where it would be more than `most`, or the stream is broken."""
    import imagecodecs

    try:
        unpacked: bytes = bytes(imagecodecs.deflate_decode(b"".join(parts), out=most))
    except RuntimeError:
        return b""
    return unpacked


def _trimmed(data: bytes, every_chunk: list[Chunk], rows: bytes) -> bytes:
    """The file with these rows for its image data."""
    view = memoryview(data)
    before = [view[c.start - 8 : c.start + c.size + 4] for c in every_chunk if c.kind in _NEEDED - {b"IDAT", b"IEND"}]
    return b"".join((SIGNATURE, *before, _chunk(b"IDAT", zlib.compress(rows, 1)), _chunk(b"IEND", b"")))


def _bare(data: bytes, every_chunk: list[Chunk]) -> bytes:
    """The file with only what pixels need: libpng never sees packed texts, profiles or animation frames."""
    if all(chunk.kind in _NEEDED for chunk in every_chunk):
        return data
    view = memoryview(data)
    needed = [view[chunk.start - 8 : chunk.start + chunk.size + 4] for chunk in every_chunk if chunk.kind in _NEEDED]
    return b"".join((SIGNATURE, *needed))


def _pixels(data: bytes, ihdr: Ihdr) -> Pixels:
    if ihdr.interlace and ihdr.depth <= 8:
        return _pixels_pillow(data)  # right in libpng too, but imagecodecs then prints a warning
    import imagecodecs

    pixels: Pixels = imagecodecs.png_decode(data)
    return pixels


def _pixels_pillow(data: bytes) -> Pixels:
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile

    with PngImageFile(io.BytesIO(data)) as image:
        grey = image.mode in ("1", "L", "LA")
        level = image.info.pop("transparency", None) if image.mode in ("1", "L") else None
        transparent = "transparency" in image.info or image.mode in ("LA", "RGBA")
        pixels = np.array(image.convert(("LA" if grey else "RGBA") if transparent else "L" if grey else "RGB"))
    return pixels if level is None else _with_transparent_grey(pixels, level, data[24])


def _with_transparent_grey(pixels: Pixels, level: int, depth: int) -> Pixels:
    """(H, W) -> (H, W, 2). The level counts in the steps of the file, which Pillow has spread over 0 to 255."""
    import numpy as np

    top = (1 << depth) - 1
    return np.dstack((pixels, np.where(pixels == (level & top) * 255 // top, 0, 255).astype(np.uint8)))


def _split(pixels: Pixels) -> tuple[Pixels, Pixels | None]:
    """(H, W), (H, W, 2), (H, W, 3) or (H, W, 4) -> colour and alpha, both contiguous."""
    import numpy as np

    if pixels.ndim == 2:
        return pixels.reshape(*pixels.shape, 1), None
    if pixels.shape[2] in (1, 3):
        return pixels, None
    return np.ascontiguousarray(pixels[:, :, :-1]), np.ascontiguousarray(pixels[:, :, -1])


def encode(pixels: Pixels, alpha: Pixels | None, icc: bytes | None, block: bytes | None) -> bytes:
    """Paeth filter and run-length deflate: photos as small as Pillow's default in a tenth of its time, graphics too."""
    import imagecodecs
    import numpy as np

    both = pixels if alpha is None else np.concatenate((pixels, alpha[:, :, None]), axis=2)
    body = imagecodecs.png_encode(both, level=1, filter=_FILTER_PAETH, strategy=_STRATEGY_RLE)
    extra = []
    if icc:
        extra.append(_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)))
    if block:
        extra.append(_chunk(b"eXIf", block))
    return b"".join((body[:33], *extra, memoryview(body)[33:])) if extra else bytes(body)


def _chunk(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", len(payload), kind) + payload + struct.pack(">I", zlib.crc32(kind + payload))
