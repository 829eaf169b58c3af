"""Pictures of what models do well and badly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.train import examples, gallery, sheet
from models.train.data import read_rgb
from models.train.examples import SIDE, Example

EACH = sheet.HEAD + SIDE + sheet.GAP  # a row of a card: its label and its pictures


def cell(picture: np.ndarray, row: int, column: int) -> np.ndarray:
    top, left = sheet.HEAD + row * EACH + sheet.HEAD, sheet.GAP + column * (SIDE + sheet.GAP)
    return picture[top : top + SIDE, left : left + SIDE]


def test_a_card_has_a_row_for_each_example_and_beside_the_input_what_each_model_makes_of_it(shown: Path) -> None:
    card = examples.GALLERIES["filters"]
    found = np.asarray(gallery.draw_card(card, shown))
    assert found.shape == (sheet.HEAD + 2 * EACH, sheet.GAP + 6 * (SIDE + sheet.GAP), 3)
    first = card.examples[0]
    (left, top), photo = first.corner, read_rgb(shown / str(first.picture))
    assert np.array_equal(cell(found, 0, 5), photo[top : top + SIDE, left : left + SIDE])
    given, bilinear, bicubic, *_, original = (cell(found, 1, k).astype(int) for k in range(6))
    assert 0 < np.abs(bicubic - original).mean() < np.abs(bilinear - original).mean()
    assert np.array_equal(given[:4, :4], np.broadcast_to(given[0, 0], (4, 4, 3)))


def test_a_restorer_is_shown_the_damage_and_a_retoucher_the_whole_picture(shown: Path) -> None:
    spoilt = gallery.restored({}, Example("", examples.kodak(4), (100, 50), spoil=examples.noise(25)), shown)
    apart = spoilt["input"].astype(float) - spoilt["original"]
    assert 15 < apart.std() < 25  # some are cut off at black and white
    flat = gallery.retouched({}, Example("", examples.kodak(22), spoil=examples.flat_light), shown)
    assert flat["input"].shape == flat["original"].shape == (gallery.TALL, round(gallery.TALL * 480 / 360), 3)
    assert np.ptp(flat["input"]) < 0.6 * np.ptp(flat["original"])


def test_a_grey_pattern_goes_in_as_it_is_and_has_no_original(shown: Path) -> None:
    (checker,) = (one for one in examples.GALLERIES["liif"].examples if one.exact)
    rows = gallery.enlarged({}, checker, shown)
    assert list(rows) == ["input"]
    wanted = examples.pattern("checker of 1 px").repeat(3, 0).repeat(3, 1)
    assert np.array_equal(rows["input"], sheet.crop(wanted, SIDE))
