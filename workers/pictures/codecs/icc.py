"""ICC profiles: is it usable, is it sRGB, and pixels out of it into sRGB, through LittleCMS (imagecodecs).

16-bit pixels are converted without LittleCMS's precalculated cube, which is wrong by up to 20/255 at the edge of the
gamut. It writes no profiles. Source: ICC.1:2010 section 7 (header and tag table); IEC 61966-2-1 (sRGB).
"""

from __future__ import annotations

import logging
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from workers.pictures.picture import MAX_ICC_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.pictures.picture import Pixels

log = logging.getLogger(__name__)

_CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
_SPACES = {b"GRAY": "gray", b"RGB ": "rgb", b"CMYK": "cmyk"}
CHANNELS = {"gray": 1, "rgb": 3, "cmyk": 4}


def space(profile: bytes) -> str | None:
    """'gray', 'rgb', 'cmyk', or None: broken, too large, of another space, or not the profile of a picture."""
    if not 132 <= len(profile) <= MAX_ICC_BYTES or profile[36:40] != b"acsp" or profile[12:16] not in _CLASSES:
        return None
    size, tags = struct.unpack_from(">I", profile)[0], struct.unpack_from(">I", profile, 128)[0]
    if size > len(profile) or not 0 < tags <= 100 or 132 + 12 * tags > len(profile):
        return None
    for at in range(132, 132 + 12 * tags, 12):
        start, length = struct.unpack_from(">II", profile, at + 4)
        if start + length > len(profile):
            return None
    return _SPACES.get(profile[16:20])


def usable(profile: bytes | None, channels: int) -> bytes | None:
    """The profile where it can describe pixels of so many channels; else None and a warning in the log.

    Grey pixels may carry an RGB profile: cameras and scanners write that.
    """
    if not profile:
        return None
    own_space = space(profile)
    if own_space is None or not _opens(profile):
        log.warning("ICC profile is dropped: broken or unusable", extra={"bytes": len(profile)})
        return None
    if CHANNELS[own_space] != channels and (channels, own_space) != (1, "rgb"):
        log.warning("ICC profile is dropped: made for other channels", extra={"space": own_space, "channels": channels})
        return None
    return profile


@lru_cache(maxsize=8)
def _opens(profile: bytes) -> bool:
    """Whether LittleCMS reads it and can convert one pixel."""
    import numpy as np

    kind = space(profile) or "rgb"
    try:
        _transformed(np.zeros((1, 1, CHANNELS[kind]), np.uint8), profile, kind)
    except (RuntimeError, ValueError):
        return False
    return True


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    import imagecodecs

    return bytes(imagecodecs.cms_profile("srgb"))


def _without_programs(profile: bytes) -> bytes:
    """The profile with its multi-process tags (D2Bx, B2Dx) renamed, so that LittleCMS takes the tables beside them.

    They are programs of any length: thirty thousand steps fit in two kilobytes and would be run for each pixel.
    """
    edited = bytearray(profile)
    for at in range(132, 132 + 12 * struct.unpack_from(">I", profile, 128)[0], 12):
        if profile[at : at + 3] in (b"D2B", b"B2D"):
            edited[at : at + 1] = b"x"
    return bytes(edited)


def _transformed(pixels: Pixels, profile: bytes, kind: str) -> Pixels:
    """(H, W, C) -> sRGB (H, W, 3) of the same dtype; relative colorimetric, inks with black point compensation."""
    import imagecodecs

    cms = imagecodecs.CMS
    flags = cms.FLAGS.NOOPTIMIZE if pixels.dtype == "uint16" else 0
    if kind == "cmyk":
        flags |= cms.FLAGS.BLACKPOINTCOMPENSATION
    source: Any = pixels[:, :, 0] if kind == "gray" else pixels
    result: Pixels = imagecodecs.cms_transform(
        source,
        _without_programs(profile),
        srgb_profile(),
        colorspace=kind,
        outcolorspace="rgb",
        intent=cms.INTENT.RELATIVE_COLORIMETRIC,
        flags=flags,
    )
    return result


def to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Grey stays grey (H, W, 1); RGB and CMYK become (H, W, 3)."""
    if pixels.shape[2] == 1:
        return _grey_to_srgb(pixels, profile)
    if pixels.shape[2] == 3 and is_srgb(profile):
        return pixels
    return _transformed(pixels, profile, space(profile) or "rgb")


def _grey_to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    import numpy as np

    kind = space(profile) or "gray"
    levels = np.arange(np.iinfo(pixels.dtype).max + 1, dtype=pixels.dtype)
    ramp = np.repeat(levels[None, :, None], CHANNELS[kind], axis=2)
    table = _transformed(ramp, profile, kind)[0, :, 1]
    return np.take(table, pixels)


@lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether converting from it changes no colour of a 9 x 9 x 9 cube by more than one level of 255."""
    import numpy as np

    if space(profile) != "rgb":
        return False
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(27, 27, 3)
    moved = _transformed(cube, profile, "rgb").astype(np.int16) - cube
    return bool(np.abs(moved).max() <= 1)


def inks_to_srgb(pixels: Pixels) -> Pixels:
    """CMYK (255 = full ink) without a profile: R = (1 - C)(1 - K)."""
    import numpy as np

    full = np.uint32(np.iinfo(pixels.dtype).max)
    paper = full - pixels
    result: Pixels = np.empty((*pixels.shape[:2], 3), pixels.dtype)
    for channel in range(3):
        light = paper[:, :, channel].astype(np.uint32)
        light *= paper[:, :, 3]
        light += full // 2
        light //= full
        result[:, :, channel] = light
    return result


def lab_to_srgb(lab: NDArray[np.float32], dtype: Any) -> Pixels:
    """CIE L*a*b* (D50; L 0..100) -> sRGB of `dtype`: ICC.1:2010 annex A backwards, IEC 61966-2-1."""
    import numpy as np

    fy = (lab[:, :, 0] + 16) / 116
    f = np.stack((fy + lab[:, :, 1] / 500, fy, fy - lab[:, :, 2] / 200), axis=-1)
    white = np.array((0.96420288, 1, 0.82490540), np.float32)
    xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * (108 / 841)) * white
    linear = np.clip(xyz @ np.linalg.inv(_SRGB_D50).T.astype(np.float32), 0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    result: Pixels = (srgb * np.iinfo(dtype).max + 0.5).astype(dtype)
    return result


# sRGB primaries adapted to D50 (Bradford), columns R, G, B.
_SRGB_D50 = (
    (0.4360747, 0.3850649, 0.1430804),
    (0.2225045, 0.7168786, 0.0606169),
    (0.0139322, 0.0971045, 0.7141733),
)
