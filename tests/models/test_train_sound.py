"""Pictures with nothing wrong: as often of each sort as told, and of every level."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.train import sound
from models.train.sound import Shares
from tests.living import photo

CROP = photo(64, 64)


def draws(shares: Shares, count: int = 200) -> list[tuple[np.ndarray, bool]]:
    return [sound.draw(CROP, shares, np.random.default_rng(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", ["smooth", "flat", "drawn", "screens", "inset", "patterns"])
def test_each_sort_comes_as_often_as_told(name: str) -> None:
    for often in (0.0, 0.5, 1.0):
        shares = dataclasses.replace(Shares(), **{name: often})  # type: ignore[arg-type]
        made = draws(shares, 60)
        changed = np.mean([not np.array_equal(pixels, CROP) for pixels, _ in made])
        assert changed == pytest.approx(often, abs=0.2)
        of_photo = {is_photo for pixels, is_photo in made if not np.array_equal(pixels, CROP)}
        assert of_photo <= {name in ("smooth", "inset")}


def test_what_is_drawn_has_the_crop_s_size_and_never_is_the_crop_itself() -> None:
    kept = CROP.copy()
    for pixels, _ in draws(sound.CLEAN):
        assert pixels.shape == CROP.shape and pixels.dtype == np.uint8
    assert np.array_equal(kept, CROP)


def test_flat_fields_have_every_level_and_colours() -> None:
    fields = [sound.flat(np.random.default_rng(seed), 8) for seed in range(600)]
    assert all((field == field[0, 0]).all() for field in fields)
    neutral = [field[0, 0, 0] for field in fields if np.ptp(field[0, 0]) == 0]
    assert len(set(neutral)) > 150
    assert 200 < len(neutral) < 400


def test_a_screen_has_few_colours_in_large_panes() -> None:
    kinds = [len(np.unique(sound.screen(np.random.default_rng(seed), 96).reshape(-1, 3), axis=0)) for seed in range(20)]
    assert min(kinds) <= 6


def test_what_is_enlarged_is_smooth() -> None:
    large = sound.enlarge(CROP, (8, 8.01), np.random.default_rng(0)).astype(int)
    assert np.abs(np.diff(large, axis=1)).mean() < 0.5 * np.abs(np.diff(CROP.astype(int), axis=1)).mean()
