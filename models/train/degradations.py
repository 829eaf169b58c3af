"""What happens to photos on their way to a user: blur, noise, a resize and JPEG, in random order.

Each step takes 8-bit pixels (H, W, 3) and gives 8-bit pixels; `degrade` draws the steps and shrinks to the size asked
for. Every draw comes from the generator handed in. It knows nothing of networks and files.
Source: the shuffled order is that of Zhang et al., "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution", ICCV 2021; the ranges are our own, for photos that are worth enlarging.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.train.data import Pixels, resize, shrink_bicubic

Step = Callable[[Pixels], Pixels]
Size = tuple[int, int]  # height, width
Range = tuple[float, float]

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.LANCZOS, Image.Resampling.BOX)
GRID = 16  # a JPEG with halved chroma is coded in squares of so many pixels
HALVED, FULL = "4:2:0", "4:4:4"


@dataclass(frozen=True)
class Degradation:
    """How often each step happens (0 to 1) and how strong it is.

    `blur_sigma` in pixels of the small picture, `noise_sigma` in levels of 255. `bicubic`: how often the resize is the
    plain bicubic one, the other filters share the rest. `grey_noise` and `halved_chroma`: how often, of those steps.
    `second_jpeg`: how often a picture that went through one goes through another.
    """

    blur: float = 0.25
    blur_sigma: Range = (0.2, 0.8)
    bicubic: float = 0.6
    noise: float = 0.25
    noise_sigma: Range = (0.5, 6.0)
    grey_noise: float = 0.5
    jpeg: float = 0.9
    jpeg_quality: tuple[int, int] = (30, 95)
    halved_chroma: float = 0.75
    second_jpeg: float = 0.0


def degrade(pixels: Pixels, size: Size, how: Degradation, rng: np.random.Generator) -> Pixels:
    """The picture at `size` (height, width) after the steps that were drawn, in an order that was drawn too."""
    steps = [draw_resize(size, how, rng)]
    if rng.random() < how.blur:
        steps.append(draw_blur(size, how, rng))
    if rng.random() < how.noise:
        steps.append(draw_noise(how, rng))
    if rng.random() < how.jpeg:
        steps.append(draw_jpeg(how, rng))
        if how.second_jpeg and rng.random() < how.second_jpeg:
            steps.append(draw_jpeg(how, rng))
    for index in rng.permutation(len(steps)):
        pixels = steps[index](pixels)
    return pixels


def draw_resize(size: Size, how: Degradation, rng: np.random.Generator) -> Step:
    if rng.random() < how.bicubic:
        return partial(shrink_bicubic, size=size)
    return partial(resize, size=size, how=FILTERS[rng.integers(len(FILTERS))])


def draw_blur(size: Size, how: Degradation, rng: np.random.Generator) -> Step:
    """As wide, seen in the small picture, whether it comes before the resize or after it."""
    sigma = rng.uniform(*how.blur_sigma)
    return lambda pixels: blur(pixels, sigma * pixels.shape[0] / size[0])


def draw_noise(how: Degradation, rng: np.random.Generator) -> Step:
    sigma, channels = rng.uniform(*how.noise_sigma), 1 if rng.random() < how.grey_noise else 3
    return lambda pixels: add_noise(pixels, sigma, channels, rng)


def draw_jpeg(how: Degradation, rng: np.random.Generator) -> Step:
    """Crops of photos do not begin where the blocks of the photo's JPEG begin: the grid is shifted at random."""
    quality = int(rng.integers(how.jpeg_quality[0], how.jpeg_quality[1] + 1))
    chroma = HALVED if rng.random() < how.halved_chroma else FULL
    shift = (int(rng.integers(GRID)), int(rng.integers(GRID)))
    return lambda pixels: through_jpeg(pixels, quality, chroma, shift)


def blur(pixels: Pixels, sigma: float) -> Pixels:
    """A Gaussian of `sigma` pixels, cut off at three of them; the frame is mirrored."""
    radius = math.ceil(3 * sigma)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2).astype(np.float32)
    weights /= weights.sum()
    values = np.pad(pixels.astype(np.float32), ((radius, radius), (radius, radius), (0, 0)), mode="symmetric")
    height, width = pixels.shape[:2]
    values = sum(weight * values[k : k + height] for k, weight in enumerate(weights))
    values = sum(weight * values[:, k : k + width] for k, weight in enumerate(weights))
    return to_8_bit(values)


def add_noise(pixels: Pixels, sigma: float, channels: int, rng: np.random.Generator) -> Pixels:
    """Gaussian noise of `sigma` levels, the same for all colours (`channels` 1) or one for each (3)."""
    return to_8_bit(pixels + sigma * rng.standard_normal((*pixels.shape[:2], channels), np.float32))


def through_jpeg(pixels: Pixels, quality: int, chroma: str = HALVED, shift: tuple[int, int] = (0, 0)) -> Pixels:
    """Encoded and decoded; `shift` (down, right) says how far into a square of 16 pixels the picture begins."""
    top, left = shift
    padded = np.pad(pixels, ((top, 0), (left, 0), (0, 0)), mode="symmetric")
    file = io.BytesIO()
    Image.fromarray(padded).save(file, "JPEG", quality=quality, subsampling=chroma)
    return np.asarray(Image.open(file).convert("RGB"))[top:, left:]


def to_8_bit(values: NDArray[np.floating]) -> Pixels:
    return (values + 0.5).clip(0, 255).astype(np.uint8)
