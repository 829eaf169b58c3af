"""What papers measure: PSNR on luma and on RGB, with the border shaved.

It reads no files and knows no models. PSNR of pictures in [0, 1], computed in float64.
Source: conventions of the super-resolution benchmarks (ITU-R BT.601 luma, shave = scale); float predictions are clamped
and not rounded, as LIIF does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([65.481, 128.553, 24.966]) / 255


def psnr(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Decibels between two arrays of one shape with peak 1; infinite where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def luma(rgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """(H, W, 3) in [0, 1] -> Y in studio range over 255, (H, W)."""
    return rgb.astype(np.float64) @ LUMA + 16 / 255


def shave(picture: NDArray[np.floating], border: int) -> NDArray[np.floating]:
    return picture[border : picture.shape[0] - border, border : picture.shape[1] - border]


def psnr_y(sr: NDArray[np.floating], hr: NDArray[np.floating], border: int) -> float:
    return psnr(shave(luma(sr), border), shave(luma(hr), border))


def psnr_rgb(sr: NDArray[np.floating], hr: NDArray[np.floating], border: int) -> float:
    return psnr(shave(sr, border), shave(hr, border))
