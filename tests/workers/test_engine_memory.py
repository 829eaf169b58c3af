"""Sizes of tiles and batches on a processor: within their budget, as asked, and smaller after memory ran out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import cast

import pytest
import torch

from models.cards import AIRNET_U, CARDS, Card
from models.contract import Restorer
from workers.engine import feathered, memory, tiles
from workers.engine.memory import TileSizes, largest_side, restorer_halo, side_of
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


def test_a_smaller_budget_makes_smaller_tiles_down_to_a_least_one() -> None:
    card = dataclasses.replace(CARDS["liif"], tile=0)
    sides = [largest_side(card, 2.0, budget, on_cuda=False) for budget in (2**40, 2**26, 2**24, 1)]
    assert sides[0] == memory.CPU_TILE > sides[1] > sides[2] == sides[3] == 16
    assert largest_side(card, 2.0, 2**40, on_cuda=True) == memory.CUDA_TILE
    assert largest_side(card, 8.0, 2**40, on_cuda=False) == memory.CPU_TILE_OUTPUT // 8
    assert largest_side(dataclasses.replace(card, tile=48), 2.0, 2**40, on_cuda=False) == 48


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
    sizes, card, other = TileSizes(CPU, None), CARDS["bicubic"], CARDS["nearest"]
    whole = side_of(planned(sizes, card))
    sizes.remember(card.name, 64)
    assert side_of(planned(sizes, card)) == 64
    assert side_of(planned(sizes, other)) == whole
    sizes.remember(card.name, None)
    assert 64 < side_of(planned(sizes, card)) <= 128
    for _ in range(10):
        sizes.remember(card.name, None)
    assert side_of(planned(sizes, card)) == whole
    sizes.remember(other.name, None)  # it never ran out
    assert side_of(planned(sizes, other)) == whole


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
