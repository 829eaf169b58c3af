"""The pictures and tables that the kernels are measured on, drawn from a seed: no data folder is needed.

A drawn photo has what a look-up feels of a real one: amplitudes that fall as a power of frequency (1.4, the softness of
a lens included), colour that varies less than brightness and more slowly, grain of one code value. At 3840x2160 29 % of
its pixels lie in the same cell of a 33-node table as their left neighbour, and it meets 5,200 cells; eight Kodak photos
have 18 to 49 % and meet 1,100 to 5,600. It shows nothing, and no quality is judged on it.
Source: Field, "Relations between the statistics of natural images", JOSA A 1987 (the fall with frequency); Ruderman,
Cronin and Chiao, "Statistics of cone responses to natural images", JOSA A 1998 (brightness and two opponent colours).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from kernels.reference.lut3d import identity_lut

Array = NDArray[Any]


def photo(height: int, width: int, seed: int = 0) -> Array:
    """(height, width, 3) uint8, with the statistics of a photo."""
    rng = np.random.default_rng(seed)
    light = 110 + 50 * falling_noise(rng, height, width, 1.4)
    red_green = 20 * falling_noise(rng, height, width, 1.6)
    yellow_blue = 24 * falling_noise(rng, height, width, 1.6)
    colours = np.stack([light + red_green / 2, light - red_green / 2, light - yellow_blue], axis=-1)
    grain = rng.standard_normal(colours.shape, np.float32)
    return np.clip(np.rint(colours + grain), 0, 255).astype(np.uint8)


def falling_noise(rng: np.random.Generator, height: int, width: int, power: float) -> Array:
    """(height, width) of mean 0 and deviation 1 whose amplitude is one over frequency to the power."""
    waves = np.fft.rfft2(rng.standard_normal((height, width), np.float32))
    frequency = np.hypot(np.fft.rfftfreq(width)[None, :], np.fft.fftfreq(height)[:, None])
    frequency[0, 0] = np.inf
    values: Array = np.fft.irfft2(waves * (frequency**-power).astype(np.float32), (height, width))
    return np.asarray(values / values.std())


def random_pixels(height: int, width: int, seed: int = 0) -> Array:
    """Each pixel anywhere in the table: the worst that a cache can meet."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def opened(file: Path, height: int, width: int) -> Array:
    """A photo of the user's own, fitted to the size by Lanczos."""
    with Image.open(file) as image:
        return np.array(image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS))


def tame_lut(size: int) -> Tensor:
    """(3, size, size, size) float32 as predicted for a photo: a tone curve, a mild twist of colour, some unevenness."""
    red, green, blue = identity_lut(size, torch.float64)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    curve = light + 0.12 * torch.sin(2 * torch.pi * (light - 0.25)) * light * (1 - light) + 0.1 * light * (1 - light)
    uneven = [0.006 * torch.sin(9 * red + k) * torch.sin(7 * green + 2 * k) * torch.cos(8 * blue - k) for k in range(3)]
    twisted = [
        curve + 1.15 * (red - light) + 0.04 * (green - blue),
        curve + 1.10 * (green - light) + 0.03 * (blue - red),
        curve + 1.12 * (blue - light) + 0.05 * (red - green),
    ]
    return torch.stack([a + b for a, b in zip(twisted, uneven, strict=True)]).clamp(0, 1).float()


def steep_lut(size: int, seed: int = 0) -> Tensor:
    """(3, size, size, size) float32, every node anywhere in [0, 1]: the steepest table there is."""
    return torch.rand((3, size, size, size), generator=torch.Generator().manual_seed(seed))


def upscale_table(scale: int, seed: int = 0) -> Tensor:
    """(65536, 9 scale^2) int8 for table super-resolution: small noise, read at the same places as a trained one."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-16, 17, (1 << 16, 9 * scale * scale), dtype=torch.int8, generator=generator)


def exact_look_up(pixels: Array, lut: Tensor) -> Array:
    """Pixels (H, W, 3) uint8 -> float64 code values before rounding, the eight corners written out."""
    nodes = lut.permute(1, 2, 3, 0).to(torch.float64).numpy()  # [b, g, r, channel]
    place = np.arange(256) * (nodes.shape[0] - 1) / 255
    cells = np.minimum(place.astype(np.intp), nodes.shape[0] - 2)
    parts = place - cells
    out = np.empty(pixels.shape, np.float64)
    for row, line in enumerate(pixels):
        red, green, blue = (cells[line[:, channel]] for channel in range(3))
        r, g, b = (parts[line[:, channel], None] for channel in range(3))
        near, far = (
            (1 - g) * ((1 - r) * nodes[plane, green, red] + r * nodes[plane, green, red + 1])
            + g * ((1 - r) * nodes[plane, green + 1, red] + r * nodes[plane, green + 1, red + 1])
            for plane in (blue, blue + 1)
        )
        out[row] = 255 * ((1 - b) * near + b * far)
    return np.clip(out, 0, 255)
