"""Colour and alpha of a picture with holes: colour is drawn under what is invisible, alpha is enlarged on its own.

Models then see no black or stray colour behind a hole, and none bleeds into a visible edge (no dark or coloured
fringes). It does not premultiply: colour stays straight, as files hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.classical import KERNELS, Resampler
from models.contract import Upscaler, View

Array = NDArray[Any]

REACH = 64  # pixels that visible colour is drawn outwards; more than the halo through which a model sees it
BAND_ROWS = 512
KERNEL = KERNELS["bicubic"]


def bleed(pixels: Array, alpha: Array) -> Array:
    """`pixels` (H, W, C) with the colour of the nearest visible pixel wherever `alpha` (H, W) is 0; a copy if any is.

    Beyond REACH the mean visible colour is taken: no model looks that far past an edge. Where alpha is more than 0 the
    colour counts as it stands.
    """
    if alpha.all() or not alpha.any():
        return pixels
    result = pixels.copy()
    far = _mean_colour(pixels, alpha)
    for top in range(0, alpha.shape[0], BAND_ROWS):
        low, high = max(0, top - REACH), min(alpha.shape[0], top + BAND_ROWS + REACH)
        band = _filled(pixels[low:high], alpha[low:high] > 0, far)
        bottom = min(alpha.shape[0], top + BAND_ROWS)
        result[top:bottom] = band[top - low : bottom - low]
    return result


def alpha_upscaler(alpha: Array, scale: float) -> Upscaler:
    """What enlarges this alpha: bicubic; for one of holes and solids only, with edges a single pixel soft."""
    resampler = Resampler(KERNEL)
    return Crisp(resampler, scale) if _is_mask(alpha) else resampler


class Crisp:
    """Steepens the edges of a mask by the scale, so that they are as sharp as before and still smooth of outline."""

    def __init__(self, resampler: Upscaler, scale: float) -> None:
        self._resampler = resampler
        self._scale = scale

    def __call__(self, windows: Tensor, views: Sequence[View]) -> list[Tensor]:
        return [(tile - 0.5) * self._scale + 0.5 for tile in self._resampler(windows, views)]


def _is_mask(alpha: Array) -> bool:
    top = np.iinfo(alpha.dtype).max
    bands = (alpha[row : row + BAND_ROWS] for row in range(0, alpha.shape[0], BAND_ROWS))
    return all(bool(((band == 0) | (band == top)).all()) for band in bands)


def _mean_colour(pixels: Array, alpha: Array) -> Array:
    total, count = np.zeros(pixels.shape[2]), 0
    for top in range(0, alpha.shape[0], BAND_ROWS):
        visible = pixels[top : top + BAND_ROWS][alpha[top : top + BAND_ROWS] > 0]
        total += visible.sum(0, dtype=np.float64)
        count += len(visible)
    return (total / count + 0.5).astype(pixels.dtype)


def _filled(pixels: Array, visible: NDArray[np.bool_], far: Array) -> Array:
    """A band with its invisible pixels coloured: the nearest visible one within REACH, else `far`."""
    band = pixels.copy()
    band[~visible] = far
    if visible.all() or not visible.any():
        return band
    distance, label = cv2.distanceTransformWithLabels(
        (~visible).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour = np.zeros((int(label.max()) + 1, pixels.shape[2]), pixels.dtype)
    colour[label[visible]] = pixels[visible]
    near = ~visible & (distance < REACH)
    band[near] = colour[label[near]]
    return band
