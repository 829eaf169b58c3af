"""How much detail a picture has, whatever it shows: the energy of its finest octave beside that of another.

Decibels of PSNR punish detail in the wrong place more than no detail; this shows whether there is as much of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOP_OCTAVE = 0.25  # cycles per pixel along either axis, up to 0.5


def top_octave(luma: NDArray[np.floating]) -> float:
    """Energy above a quarter of a cycle per pixel along either axis; (H, W), any peak.

    The mean is taken away and the frame faded out (Hann), so that the frame's own edges count for nothing.
    """
    height, width = luma.shape
    faded = (luma - luma.mean()) * np.hanning(height)[:, None] * np.hanning(width)
    energy = np.abs(np.fft.rfft2(faded)) ** 2
    high = np.maximum(np.abs(np.fft.fftfreq(height))[:, None], np.fft.rfftfreq(width)) > TOP_OCTAVE
    energy[:, 1 : (width + 1) // 2] *= 2  # these columns stand for their mirror images, too
    return float(energy[high].sum() / luma.size)


def detail_db(ours: NDArray[np.floating], original: NDArray[np.floating]) -> float:
    """Decibels of the top octave above the original's: 0 as much, below less; (H, W) each. NaN where both have none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(np.float64(top_octave(ours)) / top_octave(original)))
