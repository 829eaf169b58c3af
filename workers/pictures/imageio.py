"""Bytes to picture and back: recognise the format, read the header, decode strictly, keep or convert colours, encode.

Formats are recognised by magic bytes alone; the size is checked before a pixel is decoded; a damaged file is an error
and never half a picture. Importing this file loads neither numpy nor a codec, and `probe` needs nothing beyond Pillow.
It resizes nothing and knows no network. The formats are in the files named after them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from workers.errors import CorruptPicture, NotAPicture, OutOfMemory, ParameterError, PictureError, TooManyPixels
from workers.pictures.codecs import exif, icc, jpeg, pillow_formats, png, tiff, webp
from workers.pictures.picture import DECODER_ERRORS, Header, Picture, Scan, plain

if TYPE_CHECKING:
    from workers.pictures.picture import Pixels, Room

__all__ = ["FORMATS_OUT", "MAX_SIDE", "MEDIA_TYPE", "Header", "Picture", "decode", "encode", "output_format", "probe"]

log = logging.getLogger(__name__)

_NO_MEMORY = re.compile(
    r"(?i)(insufficient|not enough|out of|cannot allocate) memory|memory allocation|failed to alloc"
)

FORMATS_OUT = ("jpeg", "png", "webp", "avif", "tiff")
MEDIA_TYPE = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "gif": "image/gif",
    "heic": "image/heic",
}
MAX_SIDE = {
    "jpeg": jpeg.MAX_SIDE,
    "png": png.MAX_SIDE,
    "webp": webp.MAX_SIDE,
    "avif": pillow_formats.MAX_SIDE_AVIF,
    "tiff": tiff.MAX_SIDE,
}


def is_kept_lossless(asked: bool | None, format_out: str, *, is_auto: bool, came_in_lossy: bool) -> bool:
    """Whether a result leaves lossless: as `asked`; else PNG and TIFF always, and what came in lossless where the
    format was not asked for by name.

    Raises ParameterError for a JPEG that should be lossless.
    """
    if format_out in ("webp", "avif"):
        return is_auto and not came_in_lossy if asked is None else asked
    if asked and format_out == "jpeg":
        raise ParameterError("jpeg is never lossless; ask for format=png, webp, avif or tiff", parameter="lossless")
    return format_out in ("png", "tiff")


def output_format(format_in: str) -> str:
    """What leaves when nothing else is asked: the format that came in; GIF and BMP as PNG, HEIC as JPEG."""
    return {"gif": "png", "bmp": "png", "heic": "jpeg"}.get(format_in, format_in)


def sniff(data: bytes) -> str:
    """The format by its magic bytes; NotAPicture for everything else."""
    if data[:3] == b"\xff\xd8\xff":
        return "jpeg"
    if data[:8] == png.SIGNATURE:
        return "png"
    if webp.matches(data):
        return "webp"
    if tiff.matches(data):
        return "tiff"
    other = pillow_formats.family(data)
    if other:
        return other
    raise NotAPicture("not a picture of a known format: JPEG, PNG, WebP, AVIF, TIFF, BMP, GIF or HEIC")


def probe(data: bytes) -> Header:
    """Format and size from the header alone. Raises NotAPicture or CorruptPicture."""
    kind = sniff(data)
    with _judged(kind):
        header = _read_header(kind, data)
    if not header.pixels:
        raise CorruptPicture(f"the {kind.upper()} header says {header.width}x{header.height} pixels")
    return header


def _read_header(kind: str, data: bytes) -> Header:
    match kind:
        case "jpeg":
            return jpeg.read_header(data)
        case "png":
            return png.read_header(data)
        case "webp":
            return webp.read_header(data)
        case "tiff":
            return tiff.read_header(data)
    return pillow_formats.read_header(kind, data)


def _scan(kind: str, data: bytes, room: Room | None) -> Scan:
    match kind:
        case "jpeg":
            return jpeg.decode(data, room)
        case "png":
            return png.decode(data)
        case "webp":
            return webp.decode(data)
        case "tiff":
            return tiff.decode(data)
    return pillow_formats.decode(kind, data)


@contextmanager
def _judged(kind: str) -> Iterator[None]:
    """What a decoder raises as a CorruptPicture, or as OutOfMemory where it says so in one way or another."""
    with _enough_memory():
        try:
            yield
        except PictureError:
            raise
        except DECODER_ERRORS as error:
            if _NO_MEMORY.search(str(error)):
                raise MemoryError(str(error)) from None
            log.info("picture is corrupt", extra={"format": kind, "cause": f"{type(error).__name__}: {error}"})
            raise CorruptPicture(f"the {kind.upper()} is damaged or incomplete") from None


@contextmanager
def _enough_memory() -> Iterator[None]:
    try:
        yield
    except MemoryError as error:
        log.warning("memory ran out over a picture", extra={"cause": str(error)})
        raise OutOfMemory("there is not enough memory here for this picture") from None


def decode(
    data: bytes, *, colour: Literal["keep", "srgb"] = "keep", max_pixels: int, room: Room | None = None
) -> Picture:
    """The whole picture, upright. Raises NotAPicture, CorruptPicture, and TooManyPixels before decoding.

    `room`: where pixels are wanted; they lie there if the codec can put them there and nothing is left to be done.

    `colour='keep'` leaves grey and RGB values in their own profile and carries it; CMYK and Lab become sRGB always.
    `colour='srgb'` converts everything to sRGB, 16 bits at 16 bits, and leaves the picture untagged.
    """
    header = probe(data)
    if header.pixels > max_pixels:
        raise TooManyPixels(
            f"{header.width}x{header.height} are {header.pixels} pixels; at most {max_pixels} are allowed",
            limit=max_pixels,
            pixels=header.pixels,
        )
    with _judged(header.format):
        scan = _scan(header.format, data, room)
    with _enough_memory():
        pixels, profile = _managed(scan, colour)
        pixels, alpha = _upright(pixels, scan.orientation), scan.alpha
        if alpha is not None:
            alpha = _upright(alpha.reshape(*alpha.shape, 1), scan.orientation).reshape(pixels.shape[:2])
    if pixels.shape[:2] != (header.height, header.width):
        raise CorruptPicture(f"the {header.format.upper()} header and its pixels disagree about the size")
    block = _clean_exif(scan.exif)
    if block and scan.icc and profile is None:
        block = exif.with_values(block, {exif.COLOUR_SPACE: 1})  # sRGB
    return Picture(pixels, alpha, profile, block, header.format, header.lossy)


def _managed(scan: Scan, colour: str) -> tuple[Pixels, bytes | None]:
    """Pixels of one or three channels and the profile they are in."""
    channels = scan.pixels.shape[2]
    profile = icc.usable(scan.icc, channels)
    if profile is None:
        return (icc.inks_to_srgb(scan.pixels) if channels == 4 else scan.pixels), None
    if colour == "keep" and icc.CHANNELS[icc.space(profile) or ""] == channels != 4:
        return scan.pixels, profile
    return icc.to_srgb(scan.pixels, profile), None


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """(H, W, C) turned as EXIF orientation 1 to 8 says; contiguous."""
    if orientation == 1:
        return plain(pixels)
    import cv2

    flips = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    try:
        if orientation in (5, 6, 7, 8):
            pixels = cv2.transpose(pixels).reshape(pixels.shape[1], pixels.shape[0], -1)
        if orientation in flips:
            pixels = cv2.flip(pixels, flips[orientation]).reshape(pixels.shape)
    except cv2.error as error:  # whole arrays of one or three channels: it can only lack memory
        raise MemoryError(str(error)) from None
    return pixels


def _clean_exif(block: bytes | None) -> bytes | None:
    try:
        return exif.clean(block)
    except ValueError as error:
        log.warning("EXIF is dropped", extra={"cause": str(error)})
        return None


def encode(
    picture: Picture,
    format: str,  # noqa: A002
    *,
    quality: int | None = None,
    metadata: Literal["keep", "strip"] = "keep",
    lossless: bool = False,
) -> bytes:
    """The picture as a file. `quality` 1 to 100 is the lossy encoder's; PNG and TIFF ignore it.

    `lossless`: each of the 8 bits of a WebP or AVIF as it is. PNG and TIFF are always so, and JPEG never.
    16 bits stay in PNG and TIFF and are rounded to 8 elsewhere; JPEG has no alpha: it is laid on white.
    `metadata='strip'` takes EXIF away and keeps a profile unless it is sRGB: without it the colours would change.
    """
    _check_request(picture, format, quality)
    with _enough_memory():
        return _encoded(picture, format, quality, metadata, lossless)


def _encoded(picture: Picture, format: str, quality: int | None, metadata: str, lossless: bool) -> bytes:  # noqa: A002
    pixels, alpha = plain(picture.pixels), None if picture.alpha is None else plain(picture.alpha)
    profile = icc.usable(picture.icc, pixels.shape[2])
    block = _exif_for(picture) if metadata == "keep" else None
    if metadata == "strip" and profile and icc.is_srgb(profile):
        profile = None
    if format == "png":
        return png.encode(pixels, alpha, profile, block)
    if format == "tiff":
        return tiff.encode(pixels, alpha, profile, block)
    pixels, alpha = _eight_bits(pixels), None if alpha is None else _eight_bits(alpha)
    if format == "jpeg":
        return jpeg.encode(pixels if alpha is None else _on_white(pixels, alpha), quality, profile, block)
    if pixels.shape[2] == 1 and (format == "webp" or alpha is not None):
        pixels, profile = _grey_as_rgb(pixels, profile)
    write = webp.encode if format == "webp" else pillow_formats.encode_avif
    return write(pixels, alpha, quality, profile, block, lossless=lossless)


def _grey_as_rgb(pixels: Pixels, profile: bytes | None) -> tuple[Pixels, None]:
    """Three equal channels in sRGB: a grey profile does not describe them."""
    import numpy as np

    return np.repeat(icc.to_srgb(pixels, profile) if profile else pixels, 3, axis=2), None


def _check_request(picture: Picture, format: str, quality: int | None) -> None:  # noqa: A002
    if format not in FORMATS_OUT:
        raise ParameterError(f"format {format!r} is not one of {', '.join(FORMATS_OUT)}")
    if quality is not None and not 1 <= quality <= 100:
        raise ParameterError(f"quality {quality} is outside 1 to 100")
    height, width = picture.pixels.shape[:2]
    if max(height, width) > MAX_SIDE[format]:
        raise ParameterError(f"{width}x{height} does not fit in {format}: at most {MAX_SIDE[format]} pixels a side")


def _exif_for(picture: Picture) -> bytes | None:
    """EXIF with the size the picture has now."""
    if not picture.exif:
        return None
    height, width = picture.pixels.shape[:2]
    return exif.with_values(picture.exif, {exif.PIXEL_WIDTH: width, exif.PIXEL_HEIGHT: height})


def _eight_bits(values: Pixels) -> Pixels:
    """uint16 -> uint8, (v * 255 + 32767) // 65535, by table."""
    import numpy as np

    if values.dtype == np.uint8:
        return values
    table = ((np.arange(65536, dtype=np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return np.take(table, values)


def _on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """8-bit colour over white: 255 - (255 - p) * a / 255, rounded."""
    import numpy as np

    dark = (255 - pixels).astype(np.uint16)
    dark *= alpha[:, :, None]
    dark += 127
    dark //= 255
    flat: Pixels = 255 - dark.astype(np.uint8)
    return flat
