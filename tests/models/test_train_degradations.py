"""What happens to photos on their way to a user: each step by its definition, their order and strengths."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.train import degradations
from models.train.data import Pixels
from models.train.degradations import Degradation, add_noise, blur, degrade, through_jpeg

PHOTO = np.asarray(Image.effect_noise((48, 40), 60).resize((96, 80)).convert("RGB"))


def test_a_degraded_picture_has_the_size_asked_for_and_follows_from_the_seed() -> None:
    seen = set()
    for seed in range(40):
        one, same = (degrade(PHOTO, (20, 24), Degradation(), np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == (20, 24, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, same)
        seen.add(one.tobytes())
    assert len(seen) == 40


def test_the_steps_come_in_every_order(monkeypatch: pytest.MonkeyPatch) -> None:
    orders = set()
    for name in ("shrink_bicubic", "blur", "add_noise", "through_jpeg"):
        plain = getattr(degradations, name)

        def told(pixels: object, *args: object, name: str = name, plain: object = plain, **more: object) -> object:
            order.append(name)
            return plain(pixels, *args, **more)  # type: ignore[operator]

        monkeypatch.setattr(degradations, name, told)
    always = Degradation(blur=1, noise=1, jpeg=1, bicubic=1)
    for seed in range(300):
        order: list[str] = []
        degrade(PHOTO[:32, :32], (8, 8), always, np.random.default_rng(seed))
        orders.add(tuple(order))
    assert len(orders) == 24


def test_a_second_jpeg_comes_as_often_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def through_jpeg(pixels: Pixels, quality: int, *_: object) -> Pixels:
        calls.append(quality)
        return pixels

    monkeypatch.setattr(degradations, "through_jpeg", through_jpeg)
    for second, least, most in ((0.0, 100, 100), (0.3, 115, 145), (1.0, 200, 200)):
        calls.clear()
        for seed in range(100):
            degrade(PHOTO[:32, :32], (8, 8), Degradation(jpeg=1, second_jpeg=second), np.random.default_rng(seed))
        assert least <= len(calls) <= most


def test_strengths_stay_within_their_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    qualities: list[int] = []
    sigmas: list[float] = []
    widths: list[float] = []
    shifts: list[tuple[int, int]] = []

    def through_jpeg(pixels: Pixels, quality: int, chroma: object, shift: tuple[int, int]) -> Pixels:
        qualities.append(quality)
        shifts.append(shift)
        return pixels

    def add_noise(pixels: Pixels, sigma: float, channels: object, rng: object) -> Pixels:
        sigmas.append(sigma)
        return pixels

    def blur(pixels: Pixels, sigma: float) -> Pixels:
        widths.append(sigma / (pixels.shape[0] / 8))
        return pixels

    for replaced in (through_jpeg, add_noise, blur):
        monkeypatch.setattr(degradations, replaced.__name__, replaced)
    how = Degradation(blur=1, noise=1, jpeg=1)
    for seed in range(400):
        degrade(PHOTO[:32, :32], (8, 8), how, np.random.default_rng(seed))
    assert (min(qualities), max(qualities)) == (30, 95)
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(16))
    for values, (low, high) in ((sigmas, how.noise_sigma), (widths, how.blur_sigma)):
        assert low <= min(values) < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < max(values) <= high


def test_a_blur_is_a_gaussian_and_keeps_flat_areas() -> None:
    flat = np.full((9, 9, 3), 77, np.uint8)
    assert np.array_equal(blur(flat, 1.3), flat)
    dot = np.zeros((21, 21, 3), np.uint8)
    dot[10, 10] = 255
    spread = blur(dot, 1.0)[..., 0].astype(float)
    assert spread[10, 10] == pytest.approx(255 / (2 * np.pi), abs=1)
    assert spread[10, 12] / spread[10, 10] == pytest.approx(np.exp(-2), abs=0.02)


def test_noise_has_the_strength_asked_for_and_the_colours_asked_for() -> None:
    grey = np.full((100, 100, 3), 128, np.uint8)
    for channels in (1, 3):
        noisy = add_noise(grey, 5.0, channels, np.random.default_rng(0)).astype(float)
        assert noisy.std() == pytest.approx(5, rel=0.05)
        assert noisy.mean() == pytest.approx(128, abs=0.2)
        assert (np.ptp(noisy, axis=2).max() == 0) == (channels == 1)


def test_a_jpeg_of_lower_quality_is_further_away_and_its_grid_moves() -> None:
    apart = [np.abs(through_jpeg(PHOTO, q).astype(float) - PHOTO).mean() for q in (95, 75, 30)]
    assert apart == sorted(apart)
    assert apart[0] > 0
    assert not np.array_equal(through_jpeg(PHOTO, 50), through_jpeg(PHOTO, 50, shift=(3, 5)))
    assert through_jpeg(PHOTO, 50, shift=(3, 5)).shape == PHOTO.shape
