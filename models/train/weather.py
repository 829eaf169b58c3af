"""Rain and haze over clean photographs, by their physics and under its names.

Rain is light that falling drops add along the way they take while the shutter is open: streaks of one main direction,
long and bright where they are near, short and faint where they are far. Haze mixes each pixel with the light of the
air, the more the farther away the pixel is: I = J t + A (1 - t), t = exp(-beta d). Nobody knows the distances in a
photograph, so they are drawn: a plane that recedes, slow random waves, and steps where colours change.
Pictures are 8-bit pixels (H, W, 3); every draw comes from the generator handed in. It knows nothing of networks.
Sources: Garg and Nayar, "Vision and Rain", IJCV 75(1), 2007 (streaks add light); Narasimhan and Nayar, "Vision and the
Atmosphere", IJCV 48(3), 2002, and Li et al., "Benchmarking Single-Image Dehazing and Beyond" (RESIDE), IEEE TIP 28(1),
2019 (the mixture, A of 0.7 to 1). The ranges are ours, from the pairs of `train/rain` and `train/haze`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.train.data import Pixels
from models.train.degradations import Range, Size, blur, to_8_bit

Field = NDArray[np.float32]

AREA = 10_000  # pixels that a density of streaks counts for
SHORTEST, LONGEST, FAINTEST = 0.6, 1.4, 0.15  # of a layer's mean length and of its brightness, streak by streak
FADING = 0.3  # share of a streak over which its ends fade
WIDTH_OF_SIGMA = 2.355  # full width at half height of a Gaussian
STEEPEST = 60.0  # degrees from the vertical
WAVES = 4  # random waves of distance along each side of the frame, the slowest of half a period
SMOOTHED = 2.0  # pixels, sigma: colours show distances only when grain and texture are gone


@dataclass(frozen=True)
class Streaks:
    """One layer of rain: `density` streaks for 10,000 pixels, mean `length` and `width` (at half height) in pixels,
    `brightness` of the brightest, in [0, 1]."""

    density: float
    length: float
    width: float
    brightness: float


@dataclass(frozen=True)
class Rain:
    """Layers that fall at one `angle`, degrees from the vertical, each streak off it by `spread` (sigma, degrees).

    `veil` is the light of drops too far to be seen one by one, the same everywhere, in [0, 1].
    """

    layers: tuple[Streaks, ...]
    angle: float = 0.0
    spread: float = 1.0
    veil: float = 0.0


@dataclass(frozen=True)
class RainRange:
    """What rain is drawn from. `near` and `far` are the ranges of each layer's density, length, width, brightness;
    `both`: how often both layers fall; `veiled`: how often there is a veil."""

    near: tuple[Range, Range, Range, Range] = ((3, 22), (20, 65), (0.9, 2.2), (0.25, 0.75))
    far: tuple[Range, Range, Range, Range] = ((20, 120), (10, 35), (0.8, 1.4), (0.08, 0.35))
    both: float = 0.4
    angle: float = 35.0
    spread: Range = (0.0, 3.0)
    veiled: float = 0.25
    veil: Range = (0.0, 0.08)


@dataclass(frozen=True)
class Haze:
    """`airlight` of each colour in [0, 1], `beta` the optical depth of the farthest pixel."""

    airlight: tuple[float, float, float]
    beta: float


@dataclass(frozen=True)
class HazeRange:
    """What haze is drawn from. `white`: how often the airlight is 1, as indoors; `tint`: how far its colours differ."""

    beta: Range = (0.2, 1.5)
    airlight: Range = (0.7, 1.0)
    white: float = 0.3
    tint: float = 0.02
    near: Range = (0.1, 0.6)


@dataclass(frozen=True)
class Scene:
    """Distances over a frame, as a share of the farthest, by place and colour.

    `near`: the nearest. `plane`: how far it goes back to the top and to the right. `waves` (WAVES, WAVES): how much of
    each product of cosines. `colour`: the direction in RGB in which a step is taken, at `level`.
    `planes`: of so many distances all are one, as of hills behind each other; 0: any distance.
    """

    near: float
    plane: tuple[float, float]
    waves: Field
    colour: Field
    level: float
    planes: int = 0


# -- rain --------------------------------------------------------------------------------------------------------------


def draw_rain(rng: np.random.Generator, how: RainRange = RainRange()) -> Rain:
    """One kind of rain; it falls anew each time it is added."""
    layers = [Streaks(*(float(rng.uniform(*span)) for span in layer)) for layer in (how.near, how.far)]
    kept = tuple(layers) if rng.random() < how.both else (layers[rng.integers(2)],)
    veil = float(rng.uniform(*how.veil)) if rng.random() < how.veiled else 0.0
    return Rain(kept, float(rng.uniform(-how.angle, how.angle)), float(rng.uniform(*how.spread)), veil)


def add_rain(pixels: Pixels, rain: Rain, rng: np.random.Generator) -> Pixels:
    """The light of the streaks and of the veil on top of the picture's, clipped as a sensor does."""
    size = (pixels.shape[0], pixels.shape[1])
    light = sum((draw_streaks(size, layer, rain, rng) for layer in rain.layers), np.zeros(size, np.float32))
    return to_8_bit(pixels + 255 * (light + rain.veil)[..., None])


def draw_streaks(size: Size, layer: Streaks, rain: Rain, rng: np.random.Generator) -> Field:
    """Light of one layer over `size` (height, width), in [0, 1] where streaks do not cross."""
    height, width = size
    reach = layer.length * LONGEST / 2
    slope = np.tan(np.radians(min(abs(rain.angle) + 3 * rain.spread, STEEPEST)))
    aside = reach * slope + 3 * layer.width
    count = rng.poisson(layer.density * (height + 2 * reach) * (width + 2 * aside) / AREA)
    middle_y, middle_x = rng.uniform(-reach, height + reach, count), rng.uniform(-aside, width + aside, count)
    half = layer.length / 2 * rng.uniform(SHORTEST, LONGEST, count)
    angle = np.radians((rain.angle + rain.spread * rng.standard_normal(count)).clip(-STEEPEST, STEEPEST))
    bright = layer.brightness * rng.uniform(FAINTEST, 1, count)
    sigma = layer.width / WIDTH_OF_SIGMA * rng.uniform(SHORTEST, LONGEST, count)

    along = np.arange(-int(reach) - 1, int(reach) + 2)  # rows of each streak
    rows = np.floor(middle_y)[:, None].astype(np.int64) + along
    down = rows - middle_y[:, None]
    fading = np.minimum((1 - np.abs(down) / half[:, None]) / FADING, 1).clip(0)
    centre = middle_x[:, None] + down * np.tan(angle)[:, None]
    across = np.arange(-int(3 * layer.width), int(3 * layer.width) + 1)  # columns of each row
    columns = np.floor(centre).astype(np.int64)[..., None] + across
    apart = (columns - centre[..., None]) * np.cos(angle)[:, None, None]
    light = (bright[:, None] * fading)[..., None] * np.exp(-0.5 * (apart / sigma[:, None, None]) ** 2)
    inside = (rows >= 0) & (rows < height)
    seen = inside[..., None] & (columns >= 0) & (columns < width)
    place = (rows[..., None] * width + columns)[seen]
    total = np.bincount(place, light[seen], height * width)
    return total.reshape(size).astype(np.float32)


# -- haze --------------------------------------------------------------------------------------------------------------


def draw_haze(rng: np.random.Generator, how: HazeRange = HazeRange()) -> Haze:
    """Air of one kind: white or nearly grey."""
    if rng.random() < how.white:
        return Haze((1.0, 1.0, 1.0), float(rng.uniform(*how.beta)))
    light = rng.uniform(*how.airlight) + how.tint * rng.standard_normal(3)
    red, green, blue = light.clip(0, 1).tolist()
    return Haze((red, green, blue), float(rng.uniform(*how.beta)))


def draw_scene(rng: np.random.Generator, how: HazeRange = HazeRange()) -> Scene:
    """Distances for one frame: the top is mostly far, some things stand out from their surroundings."""
    falling = 1 / (1 + np.arange(WAVES))
    waves = rng.standard_normal((WAVES, WAVES)) * falling[:, None] * falling
    colour = rng.standard_normal(3) * rng.uniform(0, 2)
    plane = (float(rng.normal(1.5, 2)), float(rng.normal(0, 1.5)))
    near = float(rng.uniform(*how.near))
    return Scene(near, plane, waves.astype(np.float32), colour.astype(np.float32), float(rng.uniform(0.2, 0.8)))


def distances(pixels: Pixels, scene: Scene, frame: Size | None = None, corner: Size = (0, 0)) -> Field:
    """(H, W) in [scene.near, 1] for pixels whose first lies at `corner` (row, column) of a frame (height, width)."""
    height, width = frame or (pixels.shape[0], pixels.shape[1])
    down = (np.arange(corner[0], corner[0] + pixels.shape[0], dtype=np.float32) + 0.5) / height
    right = (np.arange(corner[1], corner[1] + pixels.shape[1], dtype=np.float32) + 0.5) / width
    orders = np.pi * np.arange(WAVES, dtype=np.float32)
    waves = np.einsum(
        "yk,kl,xl->yx", np.cos(down[:, None] * orders), scene.waves, np.cos(right[:, None] * orders), optimize=True
    )
    plane = scene.plane[0] * (0.5 - down)[:, None] + scene.plane[1] * (right - 0.5)
    seen = blur(pixels, SMOOTHED).astype(np.float32) / 255 - np.float32(scene.level)
    steps = np.tanh(6 * sum(seen[..., c] * scene.colour[c] for c in range(3)))
    share = 1 / (1 + np.exp(-(waves + plane + steps)))
    if scene.planes:
        share = (np.floor(share * scene.planes) / max(1, scene.planes - 1)).clip(0, 1)
    depth: Field = (scene.near + (1 - scene.near) * share).astype(np.float32)
    return depth


def add_haze(pixels: Pixels, haze: Haze, depth: Field) -> Pixels:
    """I = J t + A (1 - t), t = exp(-beta d); `depth` (H, W) as a share of the farthest."""
    passed = np.exp(-haze.beta * depth)[..., None]
    return to_8_bit(pixels * passed + 255 * np.array(haze.airlight, np.float32) * (1 - passed))
