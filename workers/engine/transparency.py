"""Colour and alpha of a picture with holes: colour counts by its alpha, alpha is enlarged on its own.

What is invisible takes the colour of what is visible beside it, and what is nearly invisible takes most of it: models
then see no black or stray colour behind a hole or in a soft rim, and none bleeds into a visible edge (no dark or
coloured fringes). What leaves is not premultiplied: colour stays straight, as files hold it.

Why a share: between two neighbours of alpha a < b, enlarged straight, t of the way from one to the other, a viewer sees
up to t (1 - t) (b - a) of the difference of their colours too much of the weaker one. Premultiplied this would be
right, but no network is trained on that. So its colour goes towards the stronger: nearly all the way where a is nearly
0, and less and less from there on, so that what is then wrong at its own place stays small too. From half of b on it
keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kernels import ops
from models.classical import BICUBIC, Resampler
from models.contract import Upscaler, View

Array = NDArray[Any]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

REACH = 64  # pixels that visible colour is drawn outwards; more than the halo through which an upscaler sees it
NEAR = 6  # pixels to every side whose alpha a pixel's own is compared with: what filters mix with it, and a little more
SOLID = 1 / 2  # of the strongest alpha near: from here on colour counts in full and is drawn outwards
SEEN = 7 / 8  # of the strongest alpha of the picture: from here on a predictor sees the own colour alone
BAND_ROWS = 512
KERNEL = BICUBIC


def bleed(pixels: Array, alpha: Array, near: int = NEAR) -> Array:
    """`pixels` (H, W, C) as a model should see them under `alpha` (H, W); a copy unless alpha is the same everywhere.

    Where alpha is 0: the colour of the nearest pixel that is solid for its surroundings, beyond REACH the mean colour
    of the picture. Where it is less than SOLID of the strongest alpha within `near` pixels: a share of that colour.
    Elsewhere the colour as it stands.
    """
    if is_constant(alpha):
        return pixels
    result = np.empty_like(pixels, order="C")
    far = _mean_colour(pixels, alpha)
    around = REACH + 2 * near
    for top in range(0, alpha.shape[0], BAND_ROWS):
        low, high = max(0, top - around), min(alpha.shape[0], top + BAND_ROWS + around)
        band = _filled(pixels[low:high], alpha[low:high], far, near)
        bottom = min(alpha.shape[0], top + BAND_ROWS)
        result[top:bottom] = band[top - low : bottom - low]
    return result


def put_back(result: Array, pixels: Array, shown: Array, alpha: Array) -> None:
    """What `shown` = bleed(pixels, alpha) took from visible pixels, added to a `result` of the same size, in place."""
    if shown is pixels:
        return
    top_code = np.iinfo(result.dtype).max
    for top in range(0, alpha.shape[0], BAND_ROWS):
        rows = slice(top, top + BAND_ROWS)
        changed = (alpha[rows] > 0) & (pixels[rows] != shown[rows]).any(2)
        if changed.any():
            taken = pixels[rows][changed].astype(np.int32) - shown[rows][changed]
            result[rows][changed] = (taken + result[rows][changed]).clip(0, top_code).astype(result.dtype)


def is_constant(alpha: Array) -> bool:
    return bool(alpha.min() == alpha.max())


def seen_means(pixels: Array, alpha: Array, height: int, width: int) -> Floats:
    """What a predictor should see of `pixels` (H, W, C): (height, width, C) in [0, 1], colours counted by their alpha.

    A cell's colour is the mean of its pixels weighted by alpha. Where its alpha is below SEEN of the strongest cell's,
    the colour goes towards that of the nearest cell that is not (beyond REACH, of the picture) by what is lacking: what
    hardly anybody sees should not decide about the rest.
    """
    share = _area_mean(alpha, height, width)
    colour: Floats = np.dstack([_area_mean(part, height, width) for part in _premultiplied(pixels, alpha)])
    colour *= 65535 / 255**2 if alpha.dtype == np.uint8 else float(alpha.max()) / 65535
    colour /= np.maximum(share, np.finfo(np.float32).tiny)[..., None]
    np.clip(colour, 0, 1, out=colour)
    enough = SEEN * share.max()
    far = (colour * share[..., None]).sum((0, 1), dtype=np.float64) / share.sum(dtype=np.float64)
    behind = colour.copy()
    _draw_outwards(behind, share >= enough, far.astype(np.float32))
    weight = np.minimum(share / enough, 1)[..., None]
    seen: Floats = behind + weight * (colour - behind)
    return seen


def _premultiplied(pixels: Array, alpha: Array) -> Iterator[Array]:
    """Colour times alpha, a channel (H, W) uint16 at a time: of 8 bits as it is, of 16 over the largest alpha."""
    largest = int(alpha.max())
    for channel in range(pixels.shape[2]):
        product = np.empty(alpha.shape, np.uint16)
        for top in range(0, alpha.shape[0], BAND_ROWS):
            rows = slice(top, top + BAND_ROWS)
            if pixels.dtype == np.uint8:
                np.multiply(pixels[rows, :, channel], alpha[rows], out=product[rows], dtype=np.uint16)
            else:
                wide = pixels[rows, :, channel].astype(np.uint32) * alpha[rows]
                product[rows] = (wide + largest // 2) // largest
        yield product


def _area_mean(plane: Array, height: int, width: int) -> Floats:
    """(H, W) uint8 or uint16 -> (height, width) in [0, 1]."""
    owned = torch.from_numpy(np.require(plane[..., None], requirements=["C", "W"]))
    mean: Floats = ops.area_mean(owned, height, width).numpy()[..., 0]
    return mean


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
    """Of the whole picture, weighted by alpha."""
    total, weight = np.zeros(pixels.shape[2]), 0.0
    for top in range(0, alpha.shape[0], BAND_ROWS):
        share = alpha[top : top + BAND_ROWS].reshape(-1).astype(np.float64)
        total += share @ pixels[top : top + BAND_ROWS].reshape(len(share), -1).astype(np.float64)
        weight += share.sum()
    return (total / weight + 0.5).astype(pixels.dtype)


def _filled(pixels: Array, alpha: Array, far: Array, near: int) -> Array:
    """A band as `bleed` makes it; of its first and last REACH + 2 near rows only what lies at a frame is right."""
    band = pixels.copy()
    if not alpha.any():
        band[...] = far
        return band
    strongest = cv2.dilate(alpha, np.ones((2 * near + 1, 2 * near + 1), np.uint8))
    share: Floats = np.divide(alpha, np.maximum(strongest, 1), dtype=np.float32)
    lacking = share < SOLID  # where alpha is 0 everywhere near, too
    if lacking.any():
        _draw_outwards(band, ~lacking, far)
        weak = lacking & (alpha > 0)
        own, behind = pixels[weak].astype(np.float32), band[weak]
        own += (1 - share[weak][:, None]) ** 4 * (behind - own)
        own += 0.5
        band[weak] = own.astype(pixels.dtype)
    return band


def _draw_outwards(band: Array, solid: Flags, far: Array) -> None:
    """What is not solid (H, W) of a band (H, W, C) takes the colour of the nearest within REACH that is, else `far`."""
    distance, label = cv2.distanceTransformWithLabels(
        (~solid).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    colour = np.zeros((int(label.max()) + 1, band.shape[2]), band.dtype)
    colour[label[solid]] = band[solid]
    near = ~solid & (distance < REACH)
    band[near] = colour[label[near]]
    band[distance >= REACH] = far
