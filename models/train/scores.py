"""What papers measure: PSNR and SSIM on luma and on RGB with the border shaved, and the distance of colours in Lab.

Papers on super-resolution and on restoration mean two things by SSIM: `ssim` and `ssim_uniform`. It reads
no files and knows no models. Pictures are (H, W, 3) or (H, W) in [0, 1]; all is computed in float64.
Source: conventions of the super-resolution benchmarks (ITU-R BT.601 luma, shave = scale); float predictions are clamped
and not rounded, as LIIF does. SSIM: Wang et al., "Image quality assessment: from error visibility to structural
similarity", IEEE TIP 13(4), 2004; with a uniform window as scikit-image's defaults have it. Colour: sRGB
(IEC 61966-2-1), CIELAB under D65, CIE76 difference.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.floating]

LUMA = np.array([65.481, 128.553, 24.966]) / 255
SSIM_SIDE, SSIM_SIGMA = 11, 1.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
UNIFORM_SIDE = 7
XYZ_OF_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
LAB_KNEE = 6 / 29


def psnr(a: Picture, b: Picture) -> float:
    """Decibels between two arrays of one shape with peak 1; infinite where they are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity with peak 1: a Gaussian window of 11x11, places where it fits; of RGB the mean of three."""
    if a.ndim == 3:
        return float(np.mean([ssim(a[..., c], b[..., c]) for c in range(a.shape[2])]))
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = window_mean(x), window_mean(y)
    var_x = window_mean(x * x) - mean_x**2
    var_y = window_mean(y * y) - mean_y**2
    cov = window_mean(x * y) - mean_x * mean_y
    return compare_windows(mean_x, mean_y, var_x, var_y, cov)


def compare_windows(mean_x: Picture, mean_y: Picture, var_x: Picture, var_y: Picture, cov: Picture) -> float:
    """Structural similarity of the windows that have these moments, its mean over all."""
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * cov + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return float(np.mean(luminance * structure))


def ssim_uniform(a: Picture, b: Picture) -> float:
    """Structural similarity with peak 1 as restoration papers take it: all pixels of 7x7 weigh the same, variances are
    those of a sample (over 48, not 49), places where the window fits; of RGB the mean of three."""
    if a.ndim == 3:
        return float(np.mean([ssim_uniform(a[..., c], b[..., c]) for c in range(a.shape[2])]))
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = box_mean(x), box_mean(y)
    sample = UNIFORM_SIDE**2 / (UNIFORM_SIDE**2 - 1)
    moments = (box_mean(x * x) - mean_x**2, box_mean(y * y) - mean_y**2, box_mean(x * y) - mean_x * mean_y)
    return compare_windows(mean_x, mean_y, *(sample * moment for moment in moments))


def box_mean(values: Picture) -> Picture:
    """Means of the 7x7 pixels around each place where they all exist."""
    side, (height, width) = UNIFORM_SIDE, values.shape
    tall: Picture = np.zeros((height - side + 1, width))
    for k in range(side):
        tall = tall + values[k : height - side + 1 + k]

    means: Picture = np.zeros((height - side + 1, width - side + 1))
    for k in range(side):
        means = means + tall[:, k : width - side + 1 + k]
    return means / side**2


def window_mean(values: Picture) -> Picture:
    """Gaussian means of the 11x11 pixels around each place where they all exist."""
    offsets = np.arange(SSIM_SIDE) - SSIM_SIDE // 2
    weights = np.exp(-0.5 * (offsets / SSIM_SIGMA) ** 2)
    weights /= weights.sum()
    height, width = (side - SSIM_SIDE + 1 for side in values.shape)
    tall = sum(weight * values[k : k + height] for k, weight in enumerate(weights))
    means: Picture = sum(weight * tall[:, k : k + width] for k, weight in enumerate(weights))
    return means


def luma(rgb: Picture) -> Picture:
    """(H, W, 3) in [0, 1] -> Y in studio range over 255, (H, W)."""
    return rgb.astype(np.float64) @ LUMA + 16 / 255


def shave(picture: Picture, scale: float) -> Picture:
    """Without its border, as many pixels as the scale, rounded up."""
    border = math.ceil(scale)
    return picture[border : picture.shape[0] - border, border : picture.shape[1] - border]


def psnr_y(sr: Picture, hr: Picture, scale: float) -> float:
    return psnr(shave(luma(sr), scale), shave(luma(hr), scale))


def psnr_rgb(sr: Picture, hr: Picture, scale: float) -> float:
    return psnr(shave(sr, scale), shave(hr, scale))


def delta_e(a: Picture, b: Picture) -> float:
    """Mean distance in CIELAB (CIE76) of two sRGB pictures; 1 is about what an eye can just see."""
    return float(np.mean(np.linalg.norm(lab(a) - lab(b), axis=-1)))


def lab(rgb: Picture) -> Picture:
    """sRGB in [0, 1] -> L* in [0, 100], a*, b*; the white is that of D65."""
    values = rgb.astype(np.float64)
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    relative = linear @ XYZ_OF_RGB.T / XYZ_OF_RGB.sum(1)
    x, y, z = np.moveaxis(
        np.where(relative > LAB_KNEE**3, np.cbrt(relative), relative / (3 * LAB_KNEE**2) + 4 / 29), -1, 0
    )
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)
