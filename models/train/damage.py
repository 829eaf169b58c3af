"""What spoils photographs as people meet them: noise of five sorts, rain, haze, JPEG, mild blur, and two at once.

A damage is drawn once and falls on any number of crops, each time by the generator handed in: the same generator gives
the same noise again, so that one of two damages can be left out and the other stay as it was. The order of two is that
of their causes: air, lens, sensor, file. Pictures are 8-bit pixels (H, W, 3). It knows nothing of networks and files.
Sources: shot and read noise through demosaicing, gamma and JPEG: Brooks et al., "Unprocessing Images for Learned Raw
Denoising", CVPR 2019. Rain and haze: `models.train.weather`. That grain is strongest in the mid-tones is common
knowledge of film; the ranges are ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.train import weather
from models.train.data import Pixels
from models.train.degradations import FULL, GRID, HALVED, Range, Size, add_noise, blur, through_jpeg, to_8_bit

Field = NDArray[np.float32]
Generator = np.random.Generator

KINDS = ("noise", "levels", "camera", "rain", "haze", "jpeg", "mixed", "clean")  # what a batch holds equally often
SOUND = ("clean", "patterns")  # nothing falls on them; the other is patterns and flat fields alone
GAMMA = 2.2
SENSED = 128  # pixels a side on which the light of rain is averaged


@dataclass(frozen=True)
class Place:
    """Where a crop lies: its first pixel's `corner` (row, column) in a `frame` (height, width)."""

    frame: Size
    corner: Size = (0, 0)


@dataclass(frozen=True)
class Damage:
    """One damage as it was drawn. `label`: the kind that it is told as, None for blur, which is told as none.

    `fall`: on a crop. `fall_far`: on the whole photograph reduced to a few pixels, where noise and blocks are gone.
    """

    label: str | None
    fall: Callable[[Pixels, Place, Generator], Pixels]
    fall_far: Callable[[Pixels, Generator], Pixels] = lambda pixels, rng: pixels


@dataclass(frozen=True)
class Ranges:
    """How strong damage is. Sigmas in levels of 255; `levels`: as papers measure; `equal`: how often noise in a colour
    picture is the same in all three colours; `grain`: how often noise is film grain, of `grain_sigma`, `grain_size`
    (sigma of its dots, pixels). `shot` and `read`: variance of a photon's and a pixel's noise in linear light, as
    powers of ten; `developed`: how often a camera's picture becomes a JPEG of `camera_quality`. `twice`: how often a
    JPEG was one before. `stepped`: how often distances in haze are a few planes. `blurred`: how often two damages at
    once are a blur alone, of `blur_sigma`."""

    noise: Range = (0.0, 75.0)
    levels: tuple[float, ...] = (15.0, 25.0, 50.0)
    equal: float = 0.25
    grain: float = 0.25
    grain_sigma: Range = (3.0, 25.0)
    grain_size: Range = (0.4, 1.2)
    shot: Range = (-4.0, -2.0)
    read: Range = (-7.0, -3.5)
    developed: float = 0.6
    camera_quality: tuple[int, int] = (70, 98)
    jpeg_quality: tuple[int, int] = (5, 95)
    halved_chroma: float = 0.7
    twice: float = 0.3
    rain: weather.RainRange = weather.RainRange()  # noqa: RUF009
    haze: weather.HazeRange = weather.HazeRange()  # noqa: RUF009
    stepped: float = 0.4
    blurred: float = 0.15
    blur_sigma: Range = (0.3, 1.2)


def spoil(pixels: Pixels, damages: Sequence[Damage], place: Place, seeds: dict[int, int]) -> list[Pixels]:
    """The crop, and as it is after each damage, by that one's seed: what is left out changes none of the others."""
    stages = [pixels]
    for one in damages:
        stages.append(one.fall(stages[-1], place, np.random.default_rng(seeds[id(one)])))
    return stages


def spoil_far(whole: Pixels, damages: Sequence[Damage], rng: Generator) -> Pixels:
    for one in damages:
        whole = one.fall_far(whole, rng)
    return whole


def draw(kind: str, rng: Generator, how: Ranges = Ranges(), *, grey: bool = False) -> tuple[Damage, ...]:
    """The damages of one of KINDS or SOUND, in the order in which they fall; on a `grey` picture noise is grey."""
    if kind == "mixed":
        return draw_mixed(rng, how, grey)
    return () if kind in SOUND else (DRAWN[kind](rng, how, grey),)


def draw_mixed(rng: Generator, how: Ranges, grey: bool) -> tuple[Damage, ...]:
    """Two of air or lens, sensor, and file; at times a mild blur alone."""
    if rng.random() < how.blurred:
        return (draw_blur(rng, how, grey),)
    outside = (draw_rain, draw_haze, draw_blur)[rng.integers(3)]
    sensor = (draw_noise, draw_levels, draw_camera)[rng.integers(3)]
    chosen = [outside, sensor, draw_jpeg]
    del chosen[rng.integers(3)]
    return tuple(one(rng, how, grey) for one in chosen)


# -- noise -------------------------------------------------------------------------------------------------------------


def draw_noise(rng: Generator, how: Ranges, grey: bool) -> Damage:
    """Gaussian of any strength, or film grain; weak ones more often than strong ones."""
    channels = 1 if grey or rng.random() < how.equal else 3
    if rng.random() < how.grain:
        sigma, size = float(rng.uniform(*how.grain_sigma)), float(rng.uniform(*how.grain_size))
        one = 1 if grey or rng.random() < 0.7 else 3
        return Damage("noise", lambda pixels, place, rng: add_grain(pixels, sigma, size, one, rng))
    low, high = how.noise
    sigma = low + (high - low) * float(rng.random()) ** 1.5
    return Damage("noise", lambda pixels, place, rng: add_noise(pixels, sigma, channels, rng))


def draw_levels(rng: Generator, how: Ranges, grey: bool) -> Damage:
    """As papers measure it."""
    sigma, channels = how.levels[rng.integers(len(how.levels))], 1 if grey else 3
    return Damage("noise", lambda pixels, place, rng: add_noise(pixels, sigma, channels, rng))


def draw_camera(rng: Generator, how: Ranges, grey: bool) -> Damage:
    """A sensor's, the more the less light there was; grey pictures are developed without colour."""
    shot, read = (float(10 ** rng.uniform(*powers)) for powers in (how.shot, how.read))
    quality = int(rng.integers(how.camera_quality[0], how.camera_quality[1] + 1))
    developed = rng.random() < how.developed

    def fall(pixels: Pixels, place: Place, rng: Generator) -> Pixels:
        if grey:
            taken = add_sensor_noise(pixels[..., :1], shot, read, rng).repeat(3, 2)
        else:
            taken = through_sensor(pixels, shot, read, rng)
        return through_jpeg(taken, quality, HALVED, draw_shift(rng)) if developed else taken

    return Damage("noise", fall)


def add_grain(pixels: Pixels, sigma: float, size: float, channels: int, rng: Generator) -> Pixels:
    """Dots of a Gaussian shape of `size` pixels, of `sigma` levels in the mid-tones, less towards black and white."""
    dots = rng.standard_normal((*pixels.shape[:2], channels), np.float32)
    dots = smooth(dots, size)
    share = pixels.mean(2, keepdims=True) / 255
    strength = sigma * np.sqrt(4 * share * (1 - share) * 0.9 + 0.1)
    return to_8_bit(pixels + strength * dots / dots.std())


def smooth(values: Field, sigma: float) -> Field:
    """(H, W, C) under a Gaussian of `sigma` pixels, the frame wrapped around."""
    radius = max(1, round(3 * sigma))
    for axis in (0, 1):
        out: Field = np.zeros_like(values)
        for shift in range(-radius, radius + 1):
            out += np.float32(np.exp(-0.5 * (shift / sigma) ** 2)) * np.roll(values, shift, axis)
        values = out
    return values


def add_sensor_noise(pixels: Pixels, shot: float, read: float, rng: Generator) -> Pixels:
    """(H, W, C) in linear light, with a variance of shot * light + read, and back."""
    return in_display_light(noisy_light(in_linear_light(pixels), shot, read, rng))


def through_sensor(pixels: Pixels, shot: float, read: float, rng: Generator) -> Pixels:
    """As a sensor sees it, one colour a pixel, with its noise; the others are the means of their neighbours."""
    height, width = pixels.shape[:2]
    down, right = rng.integers(2, size=2)
    rows, cols = (np.arange(height) + down)[:, None] % 2, (np.arange(width) + right)[None] % 2
    colours = rows + cols  # red, green, green, blue
    light = in_linear_light(pixels)
    raw = noisy_light(np.take_along_axis(light, colours[..., None], 2)[..., 0], shot, read, rng)
    channels = [demosaiced(raw, colours == colour) for colour in range(3)]
    return in_display_light(np.stack(channels, 2))


def demosaiced(raw: Field, seen: NDArray[np.bool_]) -> Field:
    """One colour of a raw picture (H, W): its own pixels, elsewhere the mean of the nearest of them."""
    total, count = (three_by_three(values) for values in (np.where(seen, raw, 0), seen.astype(np.float32)))
    filled: Field = np.where(seen, raw, total / np.maximum(count, 1e-6)).astype(np.float32)
    return filled


def three_by_three(values: Field) -> Field:
    """Sums under the weights 1 2 1 in both directions, nothing beyond the frame."""
    padded = np.pad(values, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    out: Field = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]).astype(np.float32)
    return out


def in_linear_light(pixels: Pixels) -> Field:
    light: Field = ((pixels.astype(np.float32) / 255) ** np.float32(GAMMA)).astype(np.float32)
    return light


def in_display_light(light: Field) -> Pixels:
    return to_8_bit(255 * light.clip(0, 1) ** np.float32(1 / GAMMA))


def noisy_light(light: Field, shot: float, read: float, rng: Generator) -> Field:
    strength = np.sqrt(np.float32(shot) * light + np.float32(read))
    noisy: Field = light + strength * rng.standard_normal(light.shape, np.float32)
    return noisy


# -- weather, lens, file -----------------------------------------------------------------------------------------------


def draw_rain(rng: Generator, how: Ranges, grey: bool) -> Damage:
    rain = weather.draw_rain(rng, how.rain)

    def far(pixels: Pixels, rng: Generator) -> Pixels:
        light = sum(float(weather.draw_streaks((SENSED, SENSED), layer, rain, rng).mean()) for layer in rain.layers)
        return to_8_bit(pixels + 255 * np.float32(light + rain.veil))

    return Damage("rain", lambda pixels, place, rng: weather.add_rain(pixels, rain, rng), far)


def draw_haze(rng: Generator, how: Ranges, grey: bool) -> Damage:
    """One air over one scene, whose distances change slowly or in steps."""
    haze, scene = weather.draw_haze(rng, how.haze), weather.draw_scene(rng, how.haze)
    if rng.random() < how.stepped:
        scene = dataclasses.replace(scene, planes=int(rng.integers(2, 6)))

    def fall(pixels: Pixels, place: Place, rng: Generator) -> Pixels:
        return weather.add_haze(pixels, haze, weather.distances(pixels, scene, place.frame, place.corner))

    return Damage("haze", fall, lambda pixels, rng: weather.add_haze(pixels, haze, weather.distances(pixels, scene)))


def draw_blur(rng: Generator, how: Ranges, grey: bool) -> Damage:
    sigma = float(rng.uniform(*how.blur_sigma))
    return Damage(None, lambda pixels, place, rng: blur(pixels, sigma))


def draw_jpeg(rng: Generator, how: Ranges, grey: bool) -> Damage:
    """Once or twice, each time with a grid and a chroma of its own."""
    passes = []
    for _ in range(2 if rng.random() < how.twice else 1):
        quality = int(rng.integers(how.jpeg_quality[0], how.jpeg_quality[1] + 1))
        passes.append((quality, HALVED if rng.random() < how.halved_chroma else FULL))

    def fall(pixels: Pixels, place: Place, rng: Generator) -> Pixels:
        for quality, chroma in passes:
            pixels = through_jpeg(pixels, quality, chroma, draw_shift(rng))
        return pixels

    return Damage("jpeg", fall)


def draw_shift(rng: Generator) -> Size:
    """Crops do not begin where blocks do."""
    return int(rng.integers(GRID)), int(rng.integers(GRID))


DRAWN: dict[str, Callable[[Generator, Ranges, bool], Damage]] = {
    "noise": draw_noise,
    "levels": draw_levels,
    "camera": draw_camera,
    "rain": draw_rain,
    "haze": draw_haze,
    "jpeg": draw_jpeg,
}
