"""What is shown of a photograph: with other tones, more or less of what lies around a crop, reduced."""

from __future__ import annotations

import numpy as np
import pytest

from models.look import REDUCED_SIDE
from models.train import views


def test_tones_rise_from_black_and_differ_from_draw_to_draw() -> None:
    tables = [views.tones(np.random.default_rng(seed)) for seed in range(20)]
    for table in tables:
        assert table.shape == (3, 256) and table.dtype == np.uint8
        assert (table[:, 0] == 0).all()
        assert (np.diff(table.astype(int)) >= 0).all()
        assert (table[:, -1] > 120).all()
    assert len({table.tobytes() for table in tables}) == len(tables)


def test_each_channel_goes_through_its_own_table() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    table = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 9)]).astype(np.uint8)
    seen = views.toned(pixels, table)
    assert np.array_equal(seen[..., 0], pixels[..., 0])
    assert np.array_equal(seen[..., 1], 255 - pixels[..., 1])
    assert (seen[..., 2] == 9).all() and seen.flags.c_contiguous


@pytest.mark.parametrize("corner", [(0, 0), (20, 40), (60, 100)])
def test_a_view_holds_the_crop_and_lies_in_the_photograph(corner: tuple[int, int]) -> None:
    rows, cols = np.mgrid[:92, :132]
    photo = np.stack([rows, cols, rows], -1).astype(np.uint8)
    seen = [views.around(photo, corner, 32, np.random.default_rng(seed)) for seed in range(200)]
    for view in seen:
        assert view[0, 0, 0] <= corner[0] and view[-1, -1, 0] >= corner[0] + 31
        assert view[0, 0, 1] <= corner[1] and view[-1, -1, 1] >= corner[1] + 31
    assert min(view.shape[0] for view in seen) < 36 and min(view.shape[1] for view in seen) < 36
    assert max(view.shape[0] for view in seen) > 80 and max(view.shape[1] for view in seen) > 120


def test_reduced_is_as_large_as_a_look_shows_it() -> None:
    assert views.reduced(np.full((200, 90, 3), 7, np.uint8)[:, ::-1]).shape == (REDUCED_SIDE, REDUCED_SIDE, 3)
