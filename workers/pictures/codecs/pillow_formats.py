"""AVIF, HEIC, GIF and BMP through Pillow and pillow-heif: header, first frame, and AVIF out.

Pillow's format classes are opened directly: Image.open would guess among all formats and warn of large pictures,
which is checked before. 10 and 12 bits of AVIF and HEIC become 8; sequences give their first picture.
Source: ISO/IEC 14496-12 section 4.3 (ftyp), AV1 Image File Format 1.1, GIF89a (1990).
"""

from __future__ import annotations

import io
import struct
import warnings
from typing import TYPE_CHECKING, NamedTuple

from workers.errors import CorruptPicture, NotAPicture
from workers.pictures.codecs import avif, colour_box, exif
from workers.pictures.picture import MAX_PARTS, Header, Scan, turned

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

    from workers.pictures.picture import Pixels

MAX_SIDE_AVIF = 65536
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_AVIF_SPEED = 8  # six times as fast as Pillow's 6 for five per cent more bytes


def family(data: bytes) -> str | None:
    """'avif' or 'heic' by the brands of an ISO media file, 'gif', 'bmp', or None."""
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if data[:2] == b"BM" and data[14:18] in {struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124)}:
        return "bmp"
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), 512, len(data))
    brands = {data[at : at + 4] for at in (8, *range(16, end - 3, 4))}
    return "avif" if brands & _AVIF_BRANDS else "heic" if brands & _HEIC_BRANDS else None


def _open(kind: str, data: bytes) -> ImageFile:
    source = io.BytesIO(data)
    if kind == "avif":
        from PIL.AvifImagePlugin import AvifImageFile

        _hush()
        return AvifImageFile(source)
    if kind == "bmp":
        from PIL.BmpImagePlugin import BmpImageFile

        return BmpImageFile(source)
    if kind == "gif":
        from PIL.GifImagePlugin import GifImageFile

        return GifImageFile(source)
    try:
        from pillow_heif import HeifImageFile
    except ImportError:
        raise NotAPicture("HEIC is not installed here; JPEG, PNG, WebP, AVIF and TIFF are") from None
    image: ImageFile = HeifImageFile(source)  # type: ignore[no-untyped-call, unused-ignore]
    return image


def _hush() -> None:
    """Pillow looks into the EXIF of an AVIF on its own and warns of damage, which is judged elsewhere."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


def read_header(kind: str, data: bytes) -> Header:
    if kind == "gif":
        return _gif_header(data)
    with _open(kind, data) as image:
        turn = exif.orientation(image.info.get("exif"))
        width, height = turned(*image.size, turn)
        grey, alpha = _is_grey(image), _is_transparent(image)
    return Header(kind, width, height, 8, has_alpha=alpha, is_grey=grey, lossy=_is_lossy(kind, data))


def _is_lossy(kind: str, data: bytes) -> bool:
    return kind == "heic" or (kind == "avif" and not avif.is_lossless(data))


class GifFrame(NamedTuple):
    """Where the first frame lies on its screen, and whether one of its colours is transparent."""

    screen: tuple[int, int]
    left: int
    top: int
    width: int
    height: int
    transparent: bool

    @property
    def covers_all(self) -> bool:
        return (self.width, self.height) == self.screen


def _gif_frame(data: bytes) -> GifFrame:
    """By hand: Pillow's reader enlarges the picture to its first frame and then warns of its size."""
    screen = struct.unpack_from("<HH", data, 6)
    transparent, blocks, at = False, 0, 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while data[at] == 0x21:
        if data[at + 1] == 0xF9:
            transparent |= bool(data[at + 3] & 1)  # the standard allows one; of several Pillow heeds any
        at += 2
        while data[at] and blocks < MAX_PARTS:
            at += 1 + data[at]
            blocks += 1
        at, blocks = at + 1, blocks + 1
        if blocks > MAX_PARTS:
            raise CorruptPicture("the GIF has too many blocks before its picture")
    if data[at] != 0x2C:
        raise CorruptPicture("the GIF holds no picture")
    left, top, width, height = struct.unpack_from("<HHHH", data, at + 1)
    if left + width > screen[0] or top + height > screen[1]:
        raise CorruptPicture("the first frame of the GIF is larger than its screen")
    if not width or not height:
        raise CorruptPicture(f"the first frame of the GIF has {width}x{height} pixels")
    return GifFrame((screen[0], screen[1]), left, top, width, height, transparent)


def _gif_header(data: bytes) -> Header:
    frame = _gif_frame(data)
    alpha = frame.transparent or not frame.covers_all
    return Header("gif", *frame.screen, 8, has_alpha=alpha, is_grey=False, lossy=False)


def _on_empty_screen(pixels: Pixels, frame: GifFrame) -> Pixels:
    """(H, W, 3 or 4) -> RGBA that is transparent where the frame does not draw, whatever the background colour says."""
    import numpy as np

    height, width = pixels.shape[:2]
    made = np.zeros((height, width, 4), np.uint8)
    rows, columns = slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width)
    made[rows, columns, 3] = 255
    made[rows, columns, : pixels.shape[2]] = pixels[rows, columns]
    return made


def _is_grey(image: ImageFile) -> bool:
    return image.mode in ("1", "L", "LA", "La") and image.format != "GIF"


def _is_transparent(image: ImageFile) -> bool:
    return "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")


def decode(kind: str, data: bytes) -> Scan:
    import numpy as np

    with _open(kind, data) as image:
        if kind == "avif":
            avif.refuse_lie(data, image.width * image.height)
        mode = ("LA" if _is_transparent(image) else "L") if _is_grey(image) else "RGBA"
        if mode == "RGBA" and not _is_transparent(image):
            mode = "RGB"
        image.load()
        pixels = np.array(image if image.mode == mode else image.convert(mode))
        icc, block = image.info.get("icc_profile"), image.info.get("exif")
    if kind in ("avif", "heic") and not icc:
        icc = colour_box.profile(data, kind, is_grey=mode in ("L", "LA"))
    if kind == "gif" and not (frame := _gif_frame(data)).covers_all:
        pixels = _on_empty_screen(pixels, frame)
    return _scan(np.atleast_3d(pixels), icc, block, alpha_may_be_empty=kind == "bmp")


def _scan(pixels: Pixels, icc: bytes | None, block: bytes | None, *, alpha_may_be_empty: bool) -> Scan:
    """Colour and alpha apart. A BMP whose alpha is 0 everywhere has none: programs declare it and leave it empty."""
    import numpy as np

    turn = exif.orientation(block)
    if pixels.shape[2] in (1, 3):
        return Scan(pixels, None, icc, block, turn)
    colour, alpha = np.ascontiguousarray(pixels[:, :, :-1]), np.ascontiguousarray(pixels[:, :, -1])
    if alpha_may_be_empty and not alpha.any():
        return Scan(colour, None, icc, block, turn)
    return Scan(colour, alpha, icc, block, turn)


def encode_avif(
    pixels: Pixels,
    alpha: Pixels | None,
    quality: int | None,
    icc: bytes | None,
    block: bytes | None,
    *,
    lossless: bool = False,
) -> bytes:
    """8 bits; colour at full resolution from quality 80 on, which is the default; halved below.

    Lossless: Pillow's file always turns RGB into luma and chroma, so it is made of an empty picture for its facts, and
    holds the planes as imagecodecs codes them.
    """
    import numpy as np

    if not lossless:
        return _save_avif(pixels, alpha, quality, icc, block)
    import imagecodecs

    both = pixels if alpha is None else np.dstack((pixels, alpha))
    coded = bytes(imagecodecs.avif_encode(both[:, :, 0] if both.shape[2] == 1 else both, level=100, speed=_AVIF_SPEED))
    if not icc and not block:
        return coded
    kept = alpha is not None and avif.has_alpha(coded)
    empty = _save_avif(np.zeros_like(pixels), np.zeros_like(alpha) if kept else None, 100, icc, block)
    return avif.with_planes_of(empty, coded)


def _save_avif(
    pixels: Pixels, alpha: Pixels | None, quality: int | None, icc: bytes | None, block: bytes | None
) -> bytes:
    import numpy as np
    from PIL import Image

    quality = 80 if quality is None else quality
    grey = pixels.shape[2] == 1
    if alpha is not None:
        pixels = np.dstack((pixels, alpha))
    _hush()
    out = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(
        out,
        "AVIF",
        quality=quality,
        subsampling="4:0:0" if grey else "4:4:4" if quality >= 80 else "4:2:0",
        speed=_AVIF_SPEED,
        icc_profile=icc or b"",
        exif=exif.without_orientation(block) if block else b"",
    )
    return out.getvalue()
