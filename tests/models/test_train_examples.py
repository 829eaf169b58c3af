"""What cards show."""

from __future__ import annotations

import numpy as np

from models.cards import ALL
from models.train import examples
from models.train.degradations import to_8_bit


def test_every_model_that_learnt_has_a_card_with_a_success_and_a_failure() -> None:
    learnt = {card.name for card in ALL if card.file is not None} - {"liif-rdn"}  # for which weights are brought
    assert set(examples.GALLERIES) == learnt | {"filters"}
    for name in learnt:
        assert name in examples.GALLERIES[name].models
        assert {one.label[0] for one in examples.GALLERIES[name].examples} == {"+", "-"}


def test_only_what_may_be_shown_is_shown() -> None:
    everything = [one for card in examples.GALLERIES.values() for one in card.examples] + list(examples.CROPS)
    files = [one.picture for one in everything if isinstance(one.picture, str)]
    assert files and all(name.startswith(("bench/kodak24/", "train/photos/gb82_")) for name in files)


def test_a_grey_photo_with_noise_stays_grey_and_haze_and_rain_brighten() -> None:
    photo = to_8_bit(np.random.default_rng(0).uniform(20, 120, (90, 120, 3)))
    assert np.ptp(examples.grey_noise(photo).astype(int), axis=2).max() == 0
    assert examples.rain(photo).mean() > photo.mean() and examples.haze(photo).mean() > photo.mean()
