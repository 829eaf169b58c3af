"""Rain adds light along streaks of one direction; haze mixes with the air by distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from models.train import weather
from models.train.weather import Haze, HazeRange, Rain, RainRange, Streaks

GREY = np.full((120, 160, 3), 90, np.uint8)
LAYER = Streaks(density=30, length=24, width=1.6, brightness=0.4)


def picture(height: int = 90, width: int = 110, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 10 + 1, width // 10 + 1, 3))
    return coarse.repeat(10, 0).repeat(10, 1)[:height, :width].astype(np.uint8)


def test_rain_adds_light_and_takes_none() -> None:
    photo = picture()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        wet = weather.add_rain(photo, weather.draw_rain(rng), rng)
        assert wet.shape == photo.shape
        assert wet.dtype == np.uint8
        assert (wet >= photo).all()
        assert (wet > photo).any()


@pytest.mark.parametrize("angle", [0.0, 30.0, -30.0])
def test_a_layer_has_the_light_that_its_density_length_width_and_brightness_make(angle: float) -> None:
    """The integral over a streak: brightness, length without half of its fading ends, a Gaussian across."""
    size, rain = (600, 600), Rain((LAYER,), angle)
    found = weather.draw_streaks(size, LAYER, rain, np.random.default_rng(0)).mean()
    along = LAYER.length * (1 - weather.FADING / 2)
    across = LAYER.width / weather.WIDTH_OF_SIGMA * math.sqrt(2 * math.pi) / math.cos(math.radians(angle))
    bright = LAYER.brightness * (1 + weather.FAINTEST) / 2
    assert found == pytest.approx(LAYER.density / weather.AREA * along * across * bright, rel=0.1)


@pytest.mark.parametrize("angle", [0.0, 20.0, -35.0])
def test_streaks_lie_in_the_direction_that_the_rain_falls(angle: float) -> None:
    """Light varies least along them; a positive angle leans to the right below."""
    wide = Streaks(density=10, length=60, width=6, brightness=0.4)  # a difference of neighbours is a slope there
    light = weather.draw_streaks((300, 300), wide, Rain((wide,), angle, spread=0.0), np.random.default_rng(1))
    down, right = np.gradient(light)
    leaning = 0.5 * np.arctan2(2 * (down * right).mean(), (right**2).mean() - (down**2).mean())
    assert -math.degrees(leaning) == pytest.approx(angle, abs=3)


def test_a_spread_turns_streaks_apart() -> None:
    def order(spread: float) -> float:
        """How much stronger light varies across the rain than along it."""
        light = weather.draw_streaks((300, 300), LAYER, Rain((LAYER,), 0.0, spread), np.random.default_rng(2))
        down, right = np.gradient(light)
        return float((right**2).mean() / (down**2).mean())

    assert order(0) > order(5) > order(20) > 1


def test_a_veil_is_the_same_everywhere_and_light_is_clipped() -> None:
    assert (weather.add_rain(GREY, Rain((), veil=0.1), np.random.default_rng(0)) == 90 + round(25.5)).all()
    assert (weather.add_rain(GREY, Rain((), veil=1.0), np.random.default_rng(0)) == 255).all()


def test_rain_is_drawn_within_its_ranges_and_falls_from_seed() -> None:
    how = RainRange()
    drawn = [weather.draw_rain(np.random.default_rng(seed), how) for seed in range(200)]
    assert {len(rain.layers) for rain in drawn} == {1, 2}
    assert all(abs(rain.angle) <= how.angle and how.veil[0] <= rain.veil <= how.veil[1] for rain in drawn)
    for rain in drawn:
        if len(rain.layers) == 2:
            for (low, high), value in zip(how.near, vars(rain.layers[0]).values(), strict=True):
                assert low <= value <= high
    one, same, other = (weather.add_rain(GREY, drawn[0], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_haze_is_the_mixture_of_its_equation() -> None:
    photo, depth = picture(), np.linspace(0, 1, 90 * 110, dtype=np.float32).reshape(90, 110)
    haze = Haze((0.9, 0.8, 0.7), 1.5)
    found = weather.add_haze(photo, haze, depth)
    for row, column in ((0, 0), (40, 70), (89, 109)):
        t = math.exp(-1.5 * depth[row, column])
        for colour, light in enumerate(haze.airlight):
            wanted = photo[row, column, colour] * t + 255 * light * (1 - t)
            assert abs(found[row, column, colour] - wanted) <= 0.51
    assert np.array_equal(weather.add_haze(photo, Haze(haze.airlight, 0.0), depth), photo)
    thick = weather.add_haze(photo, Haze((1.0, 1.0, 1.0), 50.0), depth + 1)
    assert (thick == 255).all()


def test_distances_are_shares_of_the_farthest_and_differ_over_the_frame() -> None:
    for seed in range(20):
        scene = weather.draw_scene(np.random.default_rng(seed))
        depth = weather.distances(picture(), scene)
        assert depth.shape == (90, 110)
        assert scene.near <= depth.min() < depth.max() <= 1
        assert HazeRange().near[0] <= scene.near <= HazeRange().near[1]


def test_the_distances_of_a_crop_are_those_of_the_whole() -> None:
    photo, scene = picture(), weather.draw_scene(np.random.default_rng(4))
    whole = weather.distances(photo, scene)
    part = weather.distances(photo[20:70, 30:100], scene, (90, 110), (20, 30))
    away = slice(7, -7)  # from the frame, where a blur sees other pixels
    assert np.allclose(part[away, away], whole[20:70, 30:100][away, away], atol=1e-6)
    assert not np.allclose(part, weather.distances(photo[20:70, 30:100], scene), atol=1e-2)


def test_distances_step_where_colours_do() -> None:
    halves = np.zeros((60, 60, 3), np.uint8)
    halves[:, 30:] = 255
    flat = np.zeros((weather.WAVES, weather.WAVES), np.float32)
    scene = weather.Scene(0.2, (0.0, 0.0), flat, np.array([1, 0, 0], np.float32), 0.5)
    depth = weather.distances(halves, scene)
    assert np.ptp(depth[:, :20]) < 1e-6
    assert depth[:, 40:].mean() - depth[:, :20].mean() > 0.3
    assert np.abs(np.diff(depth[0])).argmax() in (28, 29, 30)


def test_airlight_is_white_or_nearly_grey() -> None:
    how = HazeRange()
    drawn = [weather.draw_haze(np.random.default_rng(seed), how) for seed in range(300)]
    white = [haze for haze in drawn if haze.airlight == (1.0, 1.0, 1.0)]
    assert abs(len(white) / len(drawn) - how.white) < 0.1
    assert all(0.6 < light <= 1 for haze in drawn for light in haze.airlight)
    assert max(np.ptp(haze.airlight) for haze in drawn) < 6 * how.tint
    assert all(how.beta[0] <= haze.beta <= how.beta[1] for haze in drawn)
