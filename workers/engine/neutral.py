"""Pictures that say grey in three channels: recognised early, so that no model can find colour in them.

Only R = G = B in every pixel counts; a scan with a cast or the neutral parts of a colour picture are colour.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

BAND_ROWS = 64
LATTICE = 61  # pixels a side between those looked at first: most photos with grey borders are recognised by these


def single_channel(pixels: Array) -> Array:
    """A view of one channel (H, W, 1) of a picture that is neutral everywhere; any other picture as it is."""
    return pixels[..., :1] if pixels.shape[2] == 3 and is_neutral(pixels) else pixels


def is_neutral(pixels: Array, alpha: Array | None = None) -> bool:
    """Whether the channels of (H, W, C) are equal in every pixel, or in every one whose `alpha` (H, W) is not 0.

    It stops at the first band in which they are not.
    """
    parts = [(slice(None, None, LATTICE), slice(None, None, LATTICE))]
    parts += [(slice(row, row + BAND_ROWS), slice(None)) for row in range(0, pixels.shape[0], BAND_ROWS)]
    return all(_has_equal_channels(pixels[part], None if alpha is None else alpha[part]) for part in parts)


def _has_equal_channels(pixels: Array, alpha: Array | None) -> bool:
    for channel in range(1, pixels.shape[2]):
        equal = pixels[..., channel] == pixels[..., 0]
        if not equal.all() and (alpha is None or alpha[~equal].any()):
            return False
    return True
