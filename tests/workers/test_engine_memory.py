"""Sizes of tiles and batches on a processor: within their budget, as asked, and smaller after memory ran out."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import cast

import pytest
import torch

from models.cards import AIRNET_U, CARDS, Card
from models.contract import Restorer
from workers.engine import feathered, memory, tiles
from workers.engine.memory import Limits, TileSizes, grid_of_least, restorer_halo, shown, side_of, square_side
from workers.engine.tiles import Plan

CPU = torch.device("cpu")
NETWORKS = [name for name, card in CARDS.items() if card.task == "upscale" and card.tiling != "whole"]
SIZE = (1500, 2000)


@dataclass
class Facts:
    """What is asked of a restorer here."""

    bytes_per_pixel: int = 100
    reach: int = 9


def restorer(**facts: int) -> Restorer:
    return cast("Restorer", Facts(**facts))


def planned(sizes: TileSizes, card: Card, scale: int = 2) -> Plan:
    return sizes.plan(card, SIZE, (scale * SIZE[0], scale * SIZE[1]))[0]


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_window_and_its_tile_fit_into_the_budget_and_one_is_computed_at_once(name: str, scale: int) -> None:
    card = CARDS[name]
    plan, batch = TileSizes(CPU, None).plan(card, SIZE, (scale * SIZE[0], scale * SIZE[1]))
    assert batch == 1
    assert (plan.halo, sum(view.rows.count * view.cols.count for view in plan.views)) == (
        card.halo,
        scale**2 * SIZE[0] * SIZE[1],
    )
    window, tile = plan.window[0] * plan.window[1], max(view.rows.count * view.cols.count for view in plan.views)
    if not card.tile:
        assert window * card.window_bytes + tile * memory.OUTPUT_BYTES <= 1.1 * memory.CPU_BUDGET_BYTES


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_tile_is_longer_than_cancelling_may_wait(name: str, scale: int) -> None:
    card = CARDS[name]
    if card.tile:
        return
    tile = side_of(planned(TileSizes(CPU, None), card, scale)) ** 2
    size = (scale * SIZE[0], scale * SIZE[1])
    work = card.work_pixels(SIZE, size) / (size[0] * size[1])
    assert tile * work * card.cpu_s_per_mp <= 1.02 * memory.CPU_TILE_S * 1e6


def taught(card: Card, slower: float, side: int | None = None) -> TileSizes:
    """On a processor on which `card` takes so many times what it says."""
    sizes = TileSizes(CPU, side)
    sizes.s_per_mp = {card.name: slower * card.cpu_s_per_mp}
    return sizes


@pytest.mark.parametrize(
    ("slower", "pace"), [(0.01, 1), (1, 1), (1.4, 1), (1.45, 2), (2.8, 2), (2.9, 4), (4, 4), (16, 16), (1000, 1024)]
)
def test_a_pace_is_the_nearest_power_of_two_and_what_is_faster_has_the_card_s(slower: float, pace: int) -> None:
    card = CARDS["liif"]
    assert taught(card, slower).pace(card) == pace
    assert taught(CARDS["lmliif"], slower).pace(card) == 1, "of another model nothing follows"


@pytest.mark.parametrize("pace", [2, 4, 8])
@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_where_a_model_is_slower_its_tiles_are_as_much_smaller_down_to_two_halos(
    name: str, scale: int, pace: int
) -> None:
    card = CARDS[name]
    if card.tile:
        return
    size = (scale * SIZE[0], scale * SIZE[1])
    plan, batch = TileSizes(CPU, None).plan(card, SIZE, size, pace)
    in_time = memory.CPU_TILE_S * 1e6 / card.cpu_s_per_mp * SIZE[0] * SIZE[1] / card.work_pixels(SIZE, size) / pace
    assert side_of(plan) ** 2 / scale**2 <= 1.02 * max(in_time, (2 * card.halo) ** 2)
    assert batch == 1


def test_no_tile_is_cut_finer_than_its_halos_allow_however_slow_the_machine() -> None:
    """What that costs is learnt: without an end to it tiles would shrink by what their shrinking costs."""
    card = CARDS["liif"]
    tile = [side_of(TileSizes(CPU, None).plan(card, SIZE, (6000, 8000), pace)[0]) / 4 for pace in (1, 2**10, 2**20)]
    assert tile[0] > tile[1] == tile[2] == pytest.approx(2 * card.halo, rel=0.1)
    seen = restorer(reach=140)
    assert TileSizes(CPU, None).restorer_tile(AIRNET_U, seen, 2**20) == 288
    deep = dataclasses.replace(card, halo=500)  # finer than that by its card already
    assert side_of(planned(TileSizes(CPU, None), deep)) == side_of(
        TileSizes(CPU, None).plan(deep, SIZE, (3000, 4000), 64)[0]
    )


def test_a_restorer_s_exact_tiles_follow_its_speed_and_blended_ones_do_not() -> None:
    """Blended at other borders, a picture is another one."""
    seen = restorer(reach=140)
    by_pace = [TileSizes(CPU, None).restorer_tile(AIRNET_U, seen, pace) for pace in (1, 4, 16)]
    assert by_pace[0] == memory.RESTORE_TILE_EXACT
    for side, pace in zip(by_pace[1:], (4, 16), strict=True):
        assert side == math.isqrt(int(2e6 / 0.9 / pace)) // 4 * 4
    heavy = dataclasses.replace(AIRNET_U, cpu_s_per_mp=9.0)  # of the user's own weights
    assert TileSizes(CPU, None).restorer_tile(heavy, seen) ** 2 * 9.0 <= 2e6
    blended = dataclasses.replace(CARDS["airnet"], halo=128)
    assert {TileSizes(CPU, None).restorer_tile(blended, restorer(), pace) for pace in (1, 16)} == {memory.RESTORE_TILE}


def test_a_side_that_is_asked_for_is_taken_at_any_speed() -> None:
    card = CARDS["liif"]
    plans = [TileSizes(CPU, 300).plan(card, SIZE, (3000, 4000), pace)[0] for pace in (1, 64)]
    assert plans[0] == plans[1]
    assert TileSizes(CPU, 600).restorer_tile(AIRNET_U, restorer(reach=140), 64) == 600


@pytest.mark.parametrize("size", [(256, 384), (1000, 1000), (3000, 4000), (700, 90), (3, 20_000), (20_000, 1), (8, 8)])
@pytest.mark.parametrize("name", ["lmliif", "liif", "eclut"])
def test_no_other_grid_of_allowed_tiles_computes_less(name: str, size: tiles.Size) -> None:
    card, limits = CARDS[name], Limits(150_000, memory.CPU_BUDGET_BYTES, 4.0)
    area = {}
    for rows in range(1, min(size[0], 60) + 1):
        for cols in range(1, min(size[1], 60) + 1):
            tall, wide = -(-size[0] // rows), -(-size[1] // cols)
            window = shown(tall, size[0], card) * shown(wide, size[1], card)
            if tall * wide <= limits.pixels and window * card.window_bytes + tall * wide * 256 <= limits.bytes:
                area[rows, cols] = rows * cols * window
    assert area[grid_of_least(size, card, limits)] <= 1.03 * min(area.values())


def test_a_picture_that_may_be_one_tile_is_one_and_a_wide_one_is_cut_into_columns_alone() -> None:
    card = CARDS["lmliif"]
    assert grid_of_least((300, 400), card, Limits(120_000, 2**40, 4.0)) == (1, 1)
    assert grid_of_least((300, 401), card, Limits(120_000, 2**40, 4.0)) == (1, 2)
    assert grid_of_least((401, 300), card, Limits(120_000, 2**40, 4.0)) == (2, 1)
    assert grid_of_least((900, 300), card, Limits(60_000, 2**40, 4.0)) == (5, 1)


def test_where_memory_is_too_little_for_any_tile_the_least_are_tried() -> None:
    assert grid_of_least((100, 40), CARDS["liif"], Limits(1e9, 1, 4.0)) == (7, 3)
    card = dataclasses.replace(CARDS["bicubic"], tile=128)
    sides = [square_side(card, 4.0, budget) for budget in (2**40, 2**22, 1)]
    assert sides[0] == 128 > sides[1] > sides[2] == 16


def test_beyond_the_frame_a_window_shows_what_the_card_says_and_no_more() -> None:
    card = dataclasses.replace(CARDS["lmliif"], halo=21, frame=6)
    assert TileSizes(CPU, None).plan(card, (100, 80), (200, 160))[0].window == (112, 92)
    without = dataclasses.replace(card, frame=None)
    assert TileSizes(CPU, None).plan(without, (100, 80), (200, 160))[0].window == (144, 124)


def test_a_side_that_is_asked_for_is_taken_in_pixels_of_the_picture() -> None:
    plan = planned(TileSizes(CPU, 100), CARDS["bicubic"], scale=3)
    assert {(view.rows.count, view.cols.count) for view in plan.views} == {(300, 300)}
    assert side_of(plan) == 300


def test_a_model_that_needs_the_whole_picture_gets_it_a_strip_of_the_result_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "STRIP_SAMPLES", 300_000)
    plan, batch = TileSizes(CPU, 100).plan(CARDS["fourier"], (300, 400), (600, 800))
    assert (plan.halo, batch) == (None, 1)
    assert {(view.rows.count, view.cols.count) for view in plan.views} == {(600, 400)}


def test_what_memory_allowed_is_where_the_next_picture_starts_and_each_that_went_well_doubles_it() -> None:
    sizes, card, other = TileSizes(CPU, None), CARDS["lmliif"], CARDS["nearest"]
    whole, beside = (side_of(planned(sizes, one)) for one in (card, other))
    sizes.remember(card.name, 64)
    assert 48 < side_of(planned(sizes, card)) <= 64
    assert side_of(planned(sizes, other)) == beside
    sizes.remember(card.name, None)
    assert 80 < side_of(planned(sizes, card)) <= 128
    for _ in range(10):
        sizes.remember(card.name, None)
    assert side_of(planned(sizes, card)) == whole
    sizes.remember(other.name, None)  # it never ran out
    assert side_of(planned(sizes, other)) == beside


def test_a_restorer_s_tile_is_a_multiple_and_never_below_the_least() -> None:
    card = dataclasses.replace(CARDS["airnet"], halo=128)
    for side, expected in ((None, memory.RESTORE_TILE), (402, 400), (1, feathered.SMALLEST_TILE)):
        assert TileSizes(CPU, side).restorer_tile(card, restorer()) == expected
    sizes = TileSizes(CPU, None)
    sizes.remember(card.name, 203)
    assert sizes.restorer_tile(card, restorer()) == 200
    hungry = [TileSizes(CPU, None).restorer_tile(card, restorer(bytes_per_pixel=bytes_)) for bytes_ in (4000, 10_000)]
    assert memory.RESTORE_TILE > hungry[0] > hungry[1] >= feathered.SMALLEST_TILE
    window = hungry[0] + 2 * restorer_halo(card, restorer())
    assert window**2 * 4000 <= memory.RESTORE_BUDGET_BYTES < (window + 2 * feathered.ALIGN) ** 2 * 4000


@pytest.mark.parametrize(("reach", "halo"), [(9, 44), (10, 44), (95, 128), (500, 128)])
def test_a_halo_is_what_a_network_sees_and_some_more_up_to_its_card_s(reach: int, halo: int) -> None:
    card = dataclasses.replace(CARDS["airnet"], halo=128)
    assert restorer_halo(card, restorer(reach=reach)) == halo


def test_what_is_tiled_exactly_is_shown_all_that_it_sees_in_windows_of_multiples() -> None:
    """And of a small picture no more than one multiple over the frame."""
    seen = restorer(reach=140)
    assert restorer_halo(AIRNET_U, seen) == 144
    plan = TileSizes(CPU, 300).restorer_plan(AIRNET_U, seen, (1000, 200))  # type: ignore[arg-type]
    assert plan.window == (560, 240)  # of tiles of 250 rows and 200 columns
    assert all(view.rows.origin % 16 == 0 and view.cols.origin == -16 for view in plan.views)
    assert (
        TileSizes(CPU, None).restorer_tile(AIRNET_U, restorer(reach=140, bytes_per_pixel=1))
        == memory.RESTORE_TILE_EXACT
    )


def test_the_side_of_a_plan_is_that_of_its_largest_tile() -> None:
    plan = tiles.plan((10, 10), (90, 50), tile=(60, 50), halo=2)
    assert {(view.rows.count, view.cols.count) for view in plan.views} == {(45, 50)}
    assert side_of(plan) == 47
