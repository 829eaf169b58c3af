"""The recipe of LM-LIIF for pictures as they arrive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.lmliif import Lmliif, LmliifConfig
from models.train import teacher
from models.train.data import Pixels, shrink_bicubic
from models.train.provenance import check_same_network, config_of
from models.train.recipes.lmliif_real import Recipe
from models.train.run import Budget
from models.weights import Weights, fill

BUDGET = Budget(minutes=1, batch=40, lr=1e-3, patch=16, steps=2)
TINY = LmliifConfig(channels=8, latent=16, units=8, layers=2, code=4)


def samples(data: Path, clean: float, **changed: Any) -> list[tuple[Pixels, ...]]:
    """Of each: what is shown, the original, and the teacher's answer, where there is none the original."""
    drawn = {"made": 0.0, "inset": 0.0, "grey": 0.0, "exact": 0.0}
    recipe = Recipe(BUDGET, config=TINY, clean=clean, **{"taught": 0.0, **drawn, **changed})
    recipe.open(data)
    return list(recipe.taught_samples(2.0, 32, np.random.default_rng(0)))


def is_clean(sample: tuple[Pixels, ...]) -> bool:
    small, original, _ = sample
    return np.array_equal(small, shrink_bicubic(original, (16, 16)))


def test_what_the_network_sees_is_spoilt_and_what_is_wanted_is_not(data: Path) -> None:
    for small, original, answer in samples(data, clean=0.0):
        assert small.shape == (16, 16, 3)
        assert answer is original
    assert sum(map(is_clean, samples(data, clean=0.0))) <= 4  # one in ten has no JPEG, of which half nothing else


def test_a_share_of_the_samples_stays_clean(data: Path) -> None:
    assert all(map(is_clean, samples(data, clean=1.0)))
    assert 4 <= sum(map(is_clean, samples(data, clean=0.3))) <= 22


def test_the_teacher_answers_to_the_picture_as_it_was_before(taught: Path) -> None:
    made = samples(taught, clean=0.0, taught=0.8, teacher_channels=8)
    known = teacher.find_teacher(taught, 8)
    assert known is not None and not all(map(is_clean, made))
    before = np.stack([shrink_bicubic(original, (16, 16)) for _, original, _ in made])
    assert np.array_equal([answer for *_, answer in made], teacher.answer(known, before, 32))


def test_weights_of_lmliif_are_a_start_though_it_believes_every_pixel() -> None:
    recipe = Recipe(BUDGET)
    network = recipe.network()
    assert config_of(network)["projected_over"] > LmliifConfig().projected_over == 1
    clean = Lmliif(LmliifConfig())
    begun = recipe.inherit(Weights("lmliif", config_of(clean), clean.state_dict(), {}), network)
    check_same_network(begun.config, config_of(network), Path("lmliif.safetensors"))
    fill(network, begun.state_dict, "lmliif-real")
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in clean.state_dict().items())
    again = recipe.inherit(Weights("lmliif-real", config_of(network), network.state_dict(), {}), network)
    assert again.state_dict.keys() == network.state_dict().keys()
