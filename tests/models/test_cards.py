"""The plain facts about the models: whole, consistent, and what a user's own weights make of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.cards import ALL, CARDS, Card, available, is_brought, users_file
from tests.models.test_header import SAID, file_of


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.name)
def test_a_card_says_what_users_ask(card: Card) -> None:
    assert card.task in ("enhance", "restore", "upscale")
    assert card.title and card.paper and card.licence
    assert 1 <= card.min_scale <= card.max_scale
    assert card.cpu_s_per_mp > 0
    assert (card.file is None) == (card.parameters == 0)
    if card.file is not None:
        assert card.file == f"{card.name}.safetensors"
        assert card.good_at and card.bad_at
    if card.sha256 is not None:
        assert len(card.sha256) == 64 and card.weights_licence and card.trained_on
    assert card.blends_with is None or card.blends_with in {other.name for other in ALL}


def test_names_are_their_own_and_every_operation_has_a_model_that_is_served() -> None:
    assert len({card.name for card in ALL}) == len(ALL)
    assert {card.task for card in CARDS.values()} == {"enhance", "restore", "upscale"}
    assert set(CARDS) == {card.name for card in ALL if card.file is None or card.sha256}


def test_weights_of_the_users_own_make_a_model_available_and_tell_its_size_and_cost(tmp_path: Path) -> None:
    waiting = next(card for card in ALL if card.file is not None and card.sha256 is None)
    assert waiting.name not in available() and waiting.name not in available(tmp_path)
    users_file(waiting, tmp_path).write_bytes(file_of({**SAID, "network": waiting.name}))
    assert is_brought(waiting, tmp_path)
    found = available(tmp_path)[waiting.name]
    assert found.parameters == 8 * 27 + 9
    assert found.cpu_s_per_mp == pytest.approx(waiting.cpu_s_per_mp * found.parameters / waiting.parameters)
    assert set(available(tmp_path)) == {*CARDS, waiting.name}


def test_a_network_that_folds_its_sides_oftener_costs_less(tmp_path: Path) -> None:
    card = CARDS["liif"]
    path = users_file(card, tmp_path)
    path.write_bytes(file_of({**SAID, "config": {"unshuffle": 2}}))
    folded = available(tmp_path)["liif"].cpu_s_per_mp
    path.write_bytes(file_of({**SAID, "config": {"unshuffle": 1}}))
    assert folded == pytest.approx(available(tmp_path)["liif"].cpu_s_per_mp / 4)


def test_a_file_that_cannot_be_read_leaves_the_card_as_it_is(tmp_path: Path) -> None:
    users_file(CARDS["liif"], tmp_path).write_bytes(b"cut")
    assert available(tmp_path)["liif"] == CARDS["liif"]


def test_scores_that_a_file_keeps_stand_on_the_card_of_who_brought_it(tmp_path: Path) -> None:
    path = users_file(CARDS["airnet"], tmp_path)
    path.write_bytes(file_of({**SAID, "network": "airnet", "facts": {"scores": {"CBSD68 sigma 25 RGB": 31, "x": "y"}}}))
    assert available(tmp_path)["airnet"].measured.scores == {"CBSD68 sigma 25 RGB": 31.0}
    path.write_bytes(file_of({**SAID, "network": "airnet", "facts": {"scores": 3}}))
    assert available(tmp_path)["airnet"].measured == CARDS["airnet"].measured
