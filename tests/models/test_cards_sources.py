"""What cards say of the photographs that models learnt from, against the page for users."""

from __future__ import annotations

import re
from pathlib import Path

from models.cards import ALL
from models.cards.sources import PHOTOS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
SOURCE = re.compile(r"(?P<name>.+), (?P<count>\d+) \((?P<licence>.+)\)|(?P<short>.+), (?P<alone>\d+)")


def test_the_page_for_users_counts_the_same_photographs_under_the_same_licences() -> None:
    text = " ".join(PAGE.read_text().split())
    total = 0
    for source in PHOTOS:
        name, count, licence = re.fullmatch(r"(.+), (\d+) \((.+)\)", source).groups()  # type: ignore[union-attr]
        total += int(count)
        worded = licence.replace("licence not stated", "no licence stated")
        assert f"{name} ({count}, {worded})" in text
    assert f"{total} photographs: {PHOTOS[0].partition(',')[0]}" in text


def test_every_model_that_we_trained_names_them_first() -> None:
    trained = [card for card in ALL if card.sha256 is not None]
    assert trained
    assert [card.name for card in trained if card.trained_on[: len(PHOTOS)] != PHOTOS] == []
