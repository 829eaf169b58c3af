"""What spoils photographs: strengths as told, the same again from the same generator, and causes in their order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.train import damage, weather
from models.train.damage import KINDS, Damage, Place, Ranges
from tests.living import photo

SIDE = 96
CROP = photo(SIDE, SIDE)
PLACE = Place((300, 400), (20, 100))


def grey(level: int, side: int = SIDE) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def drawn(kind: str, seed: int, how: Ranges = Ranges(), **more: bool) -> tuple[Damage, ...]:  # noqa: B008
    return damage.draw(kind, np.random.default_rng(seed), how, **more)


def fallen(one: Damage, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    return one.fall(pixels, PLACE, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_each_damage_falls_alike_by_one_generator_and_anew_by_another(kind: str) -> None:
    for seed in range(6):
        for one in drawn(kind, seed):
            first, again = fallen(one, CROP), fallen(one, CROP)
            assert first.dtype == np.uint8 and first.shape == CROP.shape
            assert np.array_equal(first, again)
            if one.label in ("noise", "rain"):
                assert not np.array_equal(first, fallen(one, CROP, seed=1))


def test_each_kind_is_told_as_what_it_is_and_clean_is_none() -> None:
    labels = {kind: {one.label for seed in range(30) for one in drawn(kind, seed)} for kind in KINDS}
    assert labels["clean"] == set()
    assert labels["noise"] == labels["levels"] == labels["camera"] == {"noise"}
    assert all(labels[kind] == {kind} for kind in ("rain", "haze", "jpeg"))
    assert labels["mixed"] == {"noise", "rain", "haze", "jpeg", None}


def test_two_at_once_fall_in_the_order_of_their_causes_or_a_blur_falls_alone() -> None:
    order = ["rain", "haze", None, "noise", "jpeg"]
    seen = [tuple(one.label for one in drawn("mixed", seed)) for seed in range(200)]
    assert {len(labels) for labels in seen} == {1, 2}
    assert all(labels == (None,) for labels in seen if len(labels) == 1)
    assert all(sorted(labels, key=order.index) == list(labels) for labels in seen)
    assert {"rain", "haze", None} >= {labels[0] for labels in seen if labels[-1] == "noise" and len(labels) == 2}
    assert 10 < sum(len(labels) == 1 for labels in seen) < 60


@pytest.mark.parametrize("kind", ["noise", "levels", "camera"])
def test_noise_on_a_grey_picture_is_grey_and_in_colour_mostly_not(kind: str) -> None:
    neutral = 0
    for seed in range(30):
        (one,) = drawn(kind, seed, grey=True)
        spoilt = fallen(one, grey(120))
        assert (spoilt == spoilt[..., :1]).all()
        (one,) = drawn(kind, seed)
        spoilt = fallen(one, CROP).astype(int) - CROP
        neutral += bool((np.ptp(spoilt, axis=2) <= 1).mean() > 0.8)
    assert neutral < 20


def test_levels_are_the_published_ones_and_noise_has_any_strength() -> None:
    def strengths(kind: str) -> list[float]:
        how = dataclasses.replace(Ranges(), grain=0.0)
        return [float((fallen(drawn(kind, seed, how)[0], grey(120)).astype(float) - 120).std()) for seed in range(80)]

    assert {min((15, 25, 50), key=lambda level: abs(level - one)) for one in strengths("levels")} == {15, 25, 50}
    assert all(min(abs(level - one) / level for level in (15, 25, 50)) < 0.12 for one in strengths("levels"))
    free = strengths("noise")
    assert min(free) < 6
    assert max(free) > 50
    assert float(np.median(free)) < 40


def test_grain_is_as_strong_as_told_in_the_mid_tones_weaker_in_the_dark_and_of_dots_not_pixels() -> None:
    rng = np.random.default_rng(0)
    middle, dark = (damage.add_grain(grey(level), 12, 1.0, 1, rng).astype(float) - level for level in (127, 6))
    assert middle.std() == pytest.approx(12, rel=0.1)
    assert dark.std() < 0.6 * middle.std()
    assert (middle == middle[..., :1]).all()
    plane = middle[..., 0]
    assert np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1] > 0.5


def test_a_smoothing_keeps_a_flat_field_flat() -> None:
    flat = damage.smooth(np.full((9, 8, 2), 3, np.float32), 0.7)
    assert np.ptp(flat) < 1e-5
    assert flat[0, 0, 0] > 3


def test_a_sensor_without_noise_sees_a_flat_field_as_it_is_and_edges_nearly() -> None:
    rng = np.random.default_rng(0)
    for level in (0, 7, 128, 255):
        assert np.abs(damage.through_sensor(grey(level), 0, 0, rng).astype(int) - level).max() <= 1
        assert np.abs(damage.add_sensor_noise(grey(level), 0, 0, rng).astype(int) - level).max() <= 1
    seen = damage.through_sensor(CROP, 0, 0, rng).astype(int)
    assert np.abs(seen - CROP).mean() < 12
    assert (seen == CROP).mean() > 0.2, "each pixel keeps the colour that was seen there"


def test_missing_colours_are_the_means_of_their_neighbours() -> None:
    raw = np.arange(36, dtype=np.float32).reshape(6, 6)
    seen = np.zeros((6, 6), bool)
    seen[::2, ::2] = True
    full = damage.demosaiced(raw, seen)
    assert np.array_equal(full[::2, ::2], raw[::2, ::2])
    assert full[2, 1] == (raw[2, 0] + raw[2, 2]) / 2
    assert full[1, 1] == raw[np.ix_([0, 2], [0, 2])].mean()


def test_a_sensor_s_noise_grows_with_the_light() -> None:
    rng = np.random.default_rng(1)
    light = np.array([0.05, 0.8], np.float32)[:, None] * np.ones((1, 20_000), np.float32)
    apart = damage.noisy_light(light, 0.01, 1e-4, rng) - light
    assert apart.std(1) == pytest.approx(np.sqrt([0.01 * 0.05 + 1e-4, 0.01 * 0.8 + 1e-4]), rel=0.03)


def test_haze_and_rain_are_seen_in_the_whole_and_noise_and_blocks_are_not() -> None:
    for kind, seen in (("haze", True), ("rain", True), ("noise", False), ("jpeg", False), ("camera", False)):
        changed = [
            not np.array_equal(one.fall_far(grey(90, 64), np.random.default_rng(0)), grey(90, 64))
            for seed in range(8)
            for one in drawn(kind, seed)
        ]
        assert (np.mean(changed) > 0.5) == seen


def test_rain_s_mean_light_is_that_of_its_streaks() -> None:
    (one,) = drawn("rain", 4)
    near = np.mean([fallen(one, grey(60), seed).astype(float).mean() for seed in range(20)])
    far = np.mean([one.fall_far(grey(60, 64), np.random.default_rng(seed)).astype(float).mean() for seed in range(20)])
    assert far == pytest.approx(near, abs=4)


def test_distances_in_planes_are_a_few() -> None:
    scene = weather.draw_scene(np.random.default_rng(3))
    smooth, stepped = (
        weather.distances(CROP, dataclasses.replace(scene, planes=planes), PLACE.frame) for planes in (0, 3)
    )
    assert len(np.unique(smooth)) > 100
    assert len(np.unique(stepped.round(5))) <= 3
    assert scene.near - 1e-6 <= stepped.min() <= stepped.max() <= 1 + 1e-6


def test_jpegs_have_any_quality_and_grid_and_some_come_twice() -> None:
    how = dataclasses.replace(Ranges(), jpeg_quality=(5, 5))
    once, twice = (drawn("jpeg", 0, dataclasses.replace(how, twice=often))[0] for often in (0.0, 1.0))
    assert not np.array_equal(fallen(once, CROP), fallen(once, CROP, seed=5)), "the grid lies anywhere"
    assert np.abs(fallen(twice, CROP).astype(int) - CROP).mean() > np.abs(fallen(once, CROP).astype(int) - CROP).mean()
    errors = [np.abs(fallen(drawn("jpeg", seed)[0], CROP).astype(int) - CROP).mean() for seed in range(40)]
    assert max(errors) > 4 * min(errors)
