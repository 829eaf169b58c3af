"""What a card counts as work."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.cards import ALL, BY_NAME, CARDS

UPSCALERS = sorted(card.name for card in ALL if card.task == "upscale")


@pytest.mark.parametrize("name", UPSCALERS)
def test_the_work_is_at_least_the_pixels_of_the_result(name: str) -> None:
    """Also where it is the picture's own size; that nothing is computed then is for those who choose to know."""
    for wanted in ((30, 40), (60, 80), (31, 333)):
        assert BY_NAME[name].work_pixels((30, 40), wanted) >= wanted[0] * wanted[1]


def test_a_fixed_scale_computes_the_next_that_both_sides_fit_in() -> None:
    card = replace(CARDS["liif"], fixed_scales=(2, 4))
    assert card.work_pixels((30, 40), (45, 60)) == 4 * 30 * 40
    assert card.work_pixels((30, 40), (60, 80)) == 4 * 30 * 40
    assert card.work_pixels((30, 40), (61, 80)) == 16 * 30 * 40
    assert card.work_pixels((30, 40), (300, 400)) == 300 * 400  # beyond the largest the rest is resized up
    assert replace(card, task="restore").work_pixels((30, 40), (30, 40)) == 4 * 30 * 40
