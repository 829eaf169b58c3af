"""What a card counts as work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.cards import ALL, CARDS

UPSCALERS = sorted(card.name for card in ALL if card.task == "upscale")


@pytest.mark.parametrize("name", UPSCALERS)
def test_a_picture_that_has_its_size_already_costs_nothing_and_another_at_least_its_own(name: str) -> None:
    card = next(card for card in ALL if card.name == name)
    assert card.work_pixels((30, 40), (30, 40)) == 0
    assert card.work_pixels((30, 40), (60, 80)) >= 60 * 80


def test_a_fixed_scale_computes_the_next_that_both_sides_fit_in() -> None:
    card = replace(CARDS["liif"], fixed_scales=(2, 4))
    assert card.work_pixels((30, 40), (45, 60)) == 4 * 30 * 40
    assert card.work_pixels((30, 40), (60, 80)) == 4 * 30 * 40
    assert card.work_pixels((30, 40), (61, 80)) == 16 * 30 * 40
    assert card.work_pixels((30, 40), (300, 400)) == 300 * 400  # beyond the largest the rest is resized up
    assert replace(card, task="restore").work_pixels((30, 40), (30, 40)) == 4 * 30 * 40
