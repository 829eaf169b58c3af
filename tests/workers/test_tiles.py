"""Tiles: every sample once, windows that hold what their samples need, the frame mirrored."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest

from models.contract import Axis
from workers.engine import tiles

SHAPES = [
    ((1, 1), (2, 3), 5),
    ((1, 1), (8, 8), 36),
    ((7, 5), (26, 19), 36),
    ((33, 47), (122, 174), 2),
    ((20_000, 1), (30_000, 2), 36),
    ((1, 20_000), (2, 74_000), 0),
    ((50, 60), (50, 60), 3),
    ((300, 200), (30, 20), 9),
]


@pytest.mark.parametrize(("in_size", "out_size", "halo"), SHAPES)
@pytest.mark.parametrize("tile", [(32, 32), (50, 7), (10_000, 10_000)])
def test_every_sample_lies_in_exactly_one_tile(
    in_size: tiles.Size, out_size: tiles.Size, halo: int, tile: tiles.Size
) -> None:
    plan = tiles.plan(in_size, out_size, tile=tile, halo=halo)
    times = np.zeros((*out_size, 1), np.uint8)
    for view in plan.views:
        rows, cols = view.rows, view.cols
        times[rows.start : rows.start + rows.count, cols.start : cols.start + cols.count] += 1
    assert (times == 1).all()


@pytest.mark.parametrize(("in_size", "out_size", "halo"), SHAPES)
def test_a_window_holds_the_two_pixels_around_each_sample_and_the_halo(
    in_size: tiles.Size, out_size: tiles.Size, halo: int
) -> None:
    plan = tiles.plan(in_size, out_size, tile=(32, 40), halo=halo)
    for view in plan.views:
        for axis, length in zip((view.rows, view.cols), plan.window, strict=True):
            base, _ = axis.positions()
            assert int(base.min()) >= halo
            assert int(base.max()) + 1 + halo < length


def test_tiles_are_as_even_as_can_be() -> None:
    plan = tiles.plan((100, 100), (1000, 1000), tile=(999, 300), halo=0)
    assert sorted({view.rows.count for view in plan.views}) == [500]
    assert sorted({view.cols.count for view in plan.views}) == [250]
    counts = {view.cols.count for view in tiles.plan((9, 9), (9, 1001), tile=(9, 300), halo=0).views}
    assert counts == {250, 251}


@pytest.mark.parametrize(("in_size", "out_size", "halo"), SHAPES)
@pytest.mark.parametrize("frame", [1, 4])
def test_windows_end_at_the_frame_asked_for_or_a_halo_away_from_their_samples(
    in_size: tiles.Size, out_size: tiles.Size, halo: int, frame: int
) -> None:
    plan = tiles.plan(in_size, out_size, tile=(32, 40), halo=halo, frame=frame)
    for view in plan.views:
        for axis, length in zip((view.rows, view.cols), plan.window, strict=True):
            first, last = tiles.span(axis)
            over = min(frame, halo + 1)
            assert -over <= axis.origin <= max(first - halo, -over)
            assert min(last + halo, axis.in_size + over - 1) < axis.origin + length <= axis.in_size + over


@pytest.mark.parametrize("in_size", [1, 2, 999_999_937])
@pytest.mark.parametrize("out_size", [3, 1_999_999_973, 4 * 999_999_937])
def test_places_are_exact_for_huge_axes(in_size: int, out_size: int) -> None:
    for start in (0, out_size // 3, out_size - 3):
        axis = Axis(start, 3, out_size, in_size, 0)
        base, fraction = axis.positions()
        places = [
            Fraction(2 * i + 1, 2) * Fraction(in_size, out_size) - Fraction(1, 2) for i in range(start, start + 3)
        ]
        assert base.tolist() == [floor(place) for place in places]
        assert fraction.tolist() == pytest.approx([float(place - floor(place)) for place in places], abs=1e-7)
        assert tiles.span(axis) == (floor(places[0]), floor(places[-1]) + 1)


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_frame_is_mirrored_as_often_as_needed(length: int) -> None:
    line = np.arange(length)
    expected = np.pad(line, 36, mode="symmetric")
    assert (tiles.mirrored(np.arange(-36, length + 36), length) == expected).all()


@pytest.mark.parametrize("in_size", [(1, 1), (5, 200), (40, 40)])
def test_a_cut_window_is_the_padded_picture(in_size: tiles.Size) -> None:
    picture = np.random.default_rng(3).integers(0, 255, (*in_size, 3), dtype=np.uint8)
    margin = 200
    padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    plan = tiles.plan(in_size, (in_size[0] * 2, in_size[1] * 3), tile=(32, 32), halo=9)
    for view in plan.views:
        window = np.empty((*plan.window, 3), np.uint8)
        tiles.cut(picture, view, window)
        top, left = view.rows.origin + margin, view.cols.origin + margin
        assert (window == padded[top : top + plan.window[0], left : left + plan.window[1]]).all()


def test_pasting_rounds_half_up_and_clamps() -> None:
    view = tiles.plan((1, 1), (1, 6), tile=(1, 6), halo=0).views[0]
    values = np.array([[[-3.0, 0.5 / 255, 0.49 / 255, 1.0, 254.5 / 255, 9.0]]], np.float32)
    result = np.empty((1, 6, 1), np.uint8)
    tiles.paste(result, view, values)
    assert result[0, :, 0].tolist() == [0, 1, 0, 255, 255, 255]
    deep = np.empty((1, 6, 1), np.uint16)
    tiles.paste(deep, view, values)
    assert deep[0, :, 0].tolist() == [0, 129, 126, 65535, 65407, 65535]


def test_every_level_survives_the_way_through_float() -> None:
    for kind in (np.uint8, np.uint16):
        top = np.iinfo(kind).max
        levels = np.arange(top + 1, dtype=kind)[None, :, None]
        view = tiles.plan((1, top + 1), (1, top + 1), tile=(1, top + 1), halo=0).views[0]
        result = np.empty_like(levels)
        tiles.paste(result, view, (levels.transpose(2, 0, 1).astype(np.float32) / np.float32(top)))
        assert (result == levels).all()


def test_halved_tiles_cover_the_same_samples_with_smaller_windows() -> None:
    plan = tiles.plan((40, 40), (151, 149), tile=(80, 80), halo=4)
    left = plan.views[1:]
    smaller = tiles.halved(left, plan)
    covered = np.zeros((151, 149), int)
    for view in smaller.views:
        rows, cols = view.rows, view.cols
        covered[rows.start : rows.start + rows.count, cols.start : cols.start + cols.count] += 1
    first = plan.views[0]
    assert (covered[: first.rows.count, : first.cols.count] == 0).all()
    assert covered.sum() == 151 * 149 - first.rows.count * first.cols.count
    assert covered.max() == 1
    assert smaller.window[0] < plan.window[0]


def test_without_a_halo_every_window_is_the_whole_picture() -> None:
    plan = tiles.plan((30, 20), (111, 74), tile=(111, 16), halo=None)
    assert plan.window == (30, 20)
    assert {(view.rows.origin, view.cols.origin) for view in plan.views} == {(0, 0)}


@pytest.mark.parametrize("size", [(5, 300), (64, 64), (200, 77), (1, 1)])
@pytest.mark.parametrize("tile", [40, 96, 1000])
def test_windows_begin_and_end_at_multiples_and_no_further_over_the_frame_than_told(
    size: tiles.Size, tile: int
) -> None:
    """And yet each holds its tile with the halo, but where the frame ends it sooner."""
    plan = tiles.plan(size, size, tile=(tile, tile), halo=48, multiple=16, frame=16)
    parts = [part for view in plan.views for part in tiles.halved([view], plan).views]
    for one, views in ((plan, plan.views), (tiles.halved(plan.views, plan), parts)):
        assert (one.multiple, one.frame) == (16, 16)
        for view in one.views:
            for axis, length in zip((view.rows, view.cols), one.window, strict=True):
                last = -(-(axis.in_size + 16) // 16) * 16
                assert axis.origin % 16 == length % 16 == 0
                assert axis.origin >= -16 and axis.origin + length <= last
                assert axis.origin <= max(axis.start - 48, -16)
                assert axis.origin + length >= min(axis.start + axis.count + 48, last)
        assert len(views) == len(one.views)
