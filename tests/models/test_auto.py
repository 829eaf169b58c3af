from __future__ import annotations

import dataclasses

import pytest

from models import cards
from models.cards import CARDS, Card
from workers.job import choose_model

READY = dataclasses.replace(cards.LIIF_REAL, sha256="0" * 64)


def served(*added: Card) -> dict[str, Card]:
    plain = {name: card for name, card in CARDS.items() if name != READY.name}
    return plain | {card.name: card for card in added}


@pytest.mark.parametrize(("lossy", "taken"), [(True, "liif-real"), (False, "liif")])
def test_auto_takes_the_network_that_was_trained_for_such_pictures(lossy: bool, taken: str) -> None:
    for asked in (None, "auto"):
        assert choose_model("upscale", asked, served(READY), lossy=lossy).name == taken


def test_auto_takes_what_is_there() -> None:
    assert choose_model("upscale", None, served(), lossy=True).name == "liif"
    only_real = {READY.name: READY, "bicubic": CARDS["bicubic"]}
    assert choose_model("upscale", None, only_real, lossy=False).name == "liif-real"
    assert choose_model("upscale", None, {"bicubic": CARDS["bicubic"]}, lossy=True).name == "bicubic"


def test_who_names_a_model_gets_it_whatever_the_picture_is() -> None:
    assert choose_model("upscale", "liif", served(READY), lossy=True).name == "liif"
    assert choose_model("upscale", "liif-real", served(READY), lossy=False).name == "liif-real"
    assert choose_model("enhance", None, served(READY), lossy=True).name == "lut3d"


def test_a_card_without_its_weights_hash_is_not_served() -> None:
    assert all(card.file is None or card.sha256 for card in CARDS.values())
    assert ("liif-real" in CARDS) == (cards.LIIF_REAL.sha256 is not None)
