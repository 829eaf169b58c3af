"""The words of picture input and output: what a file's header says, what its pixels are, what the house works on.

Plain values that every codec file and the gateway can import; no pixel is touched here and numpy is not imported.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from mmap import mmap
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[Any]  # uint8 or uint16
    Buffer: TypeAlias = mmap
    Room: TypeAlias = Callable[[int], Buffer]  # memory, at least so many bytes, at whose start pixels may be put

# What decoders of damaged files raise: simplejpeg and tifffile ValueError, imagecodecs and libheif RuntimeError, Pillow
# OSError, SyntaxError and the errors of its parsers written in Python.
DECODER_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    RuntimeError,
    OSError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    struct.error,
    zlib.error,
)

MAX_PARTS = 50_000  # chunks, boxes or blocks of one file: a million empty ones would cost seconds to walk
MAX_ICC_BYTES = 8 * 1024**2  # the largest real printer profiles have about 4 MB
MAX_EXIF_BYTES = 1024**2  # one JPEG segment holds 64 KB; PNG, WebP and TIFF set no limit of their own


@dataclass(frozen=True)
class Header:
    """What the header alone says; no pixel has been decoded. Width and height are those after EXIF orientation."""

    format: str  # 'jpeg' 'png' 'webp' 'avif' 'tiff' 'bmp' 'gif' 'heic'
    width: int
    height: int
    bit_depth: int  # 8 or 16: what it will be decoded to
    has_alpha: bool
    is_grey: bool
    lossy: bool

    @property
    def pixels(self) -> int:
        return self.width * self.height


@dataclass
class Picture:
    """A picture in host memory, upright, colour and alpha apart."""

    pixels: Pixels  # (H, W, C) uint8 or uint16, C = 1 (grey) or 3 (RGB), C-contiguous
    alpha: Pixels | None  # (H, W), same dtype, not premultiplied
    icc: bytes | None  # profile the pixels are in (None: sRGB or untagged)
    exif: bytes | None  # TIFF block without thumbnail, orientation 1
    format: str  # the format that came in
    lossy: bool
    found: Mapping[str, float] | None = None  # how likely each kind of damage was in it, where a restorer looked


@dataclass
class Scan:
    """Pixels as the file holds them: not yet turned upright, C = 4 is CMYK (255 = full ink), profile and EXIF raw."""

    pixels: Pixels  # (H, W, C), C = 1, 3 or 4
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    orientation: int = 1


def turned(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height after EXIF orientation: 5 to 8 lie on their side."""
    return (height, width) if orientation >= 5 else (width, height)


def plain(values: Pixels) -> Pixels:
    """The same values without gaps; `a[:, :, None]` counts as contiguous but has a stride that codecs refuse."""
    import numpy as np

    return np.ascontiguousarray(values).reshape(-1).reshape(values.shape)
