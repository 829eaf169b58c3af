"""Pictures drawn from random numbers: what they hold, that they follow from the seed, and ordered dithering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.train import made
from tests.attacks.files import photo

SIDE, UNIT = 48, 2.5
Drawn = Callable[[np.random.Generator, int, float], NDArray[Any]]


@pytest.mark.parametrize("kind", dict.fromkeys(made.KINDS), ids=lambda kind: kind.__name__)
def test_each_kind_is_a_picture_that_follows_from_the_seed_and_another_seed_is_another(kind: Drawn) -> None:
    pictures = [kind(np.random.default_rng(seed), SIDE, UNIT) for seed in (1, 1, *range(2, 30))]
    assert {(one.shape, one.dtype.name) for one in pictures} == {((SIDE, SIDE, 3), "uint8")}
    assert np.array_equal(pictures[0], pictures[1])
    assert len({one.tobytes() for one in pictures}) > 0.8 * len(pictures)  # the finest weaves come again


@pytest.mark.parametrize("pattern", dict.fromkeys(made.PATTERNS), ids=lambda pattern: pattern.__name__)
def test_each_pattern_lies_between_its_two_colours_and_is_seen(pattern: Drawn) -> None:
    fields = [pattern(np.random.default_rng(seed), SIDE, UNIT) for seed in range(20)]
    assert all(one.shape == (SIDE, SIDE) and one.min() >= 0 and one.max() <= 1 for one in fields)
    assert sum(np.ptp(one) > 0.5 for one in fields) > 10


def test_most_patterns_are_grey() -> None:
    drawn = [made.pattern(np.random.default_rng(seed), 8, 2) for seed in range(200)]
    grey = np.mean([(np.ptp(one.astype(int), axis=2) == 0).all() for one in drawn])
    assert 0.7 < grey < 0.9


def test_what_is_put_into_a_photo_is_a_rectangle_and_the_photo_itself_stays() -> None:
    picture = photo(SIDE, SIDE)
    before = picture.copy()
    for seed in range(20):
        changed = (made.within(picture, np.random.default_rng(seed), UNIT) != before).any(2)
        rows, columns = np.nonzero(changed.any(1))[0], np.nonzero(changed.any(0))[0]
        assert changed.any()
        assert rows.max() - rows.min() < SIDE and columns.max() - columns.min() < SIDE
        assert changed.mean() <= (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / SIDE**2
    assert np.array_equal(picture, before)


def test_without_its_colours_a_photo_has_its_luma() -> None:
    picture = photo(SIDE, SIDE)
    found = made.grey(picture)
    assert (np.ptp(found, axis=2) == 0).all()
    assert np.abs(found[..., 0] - picture @ np.array([0.299, 0.587, 0.114])).max() <= 0.5 + 1e-9


def test_thresholds_of_ordered_dithering_are_all_there_once_and_far_from_their_neighbours() -> None:
    assert np.array_equal(made.bayer(1) * 4 - 0.5, [[0, 2], [3, 1]])
    assert np.array_equal(np.sort(made.bayer(3).ravel()), (np.arange(64) + 0.5) / 64)
    assert np.abs(np.diff(made.bayer(3), axis=1)).min() >= 0.25


@pytest.mark.parametrize("unit", [1.0, 2.0, 2.5, 3.7])
def test_pixels_of_the_small_picture_are_squares_of_its_unit(unit: float) -> None:
    small = np.arange(16.0).reshape(4, 4)
    side = round(4 * unit)
    found = made.in_pixels(small, side, unit)
    at = [min(3, int(place / unit)) for place in range(side)]
    assert np.array_equal(found, small[np.ix_(at, at)])
