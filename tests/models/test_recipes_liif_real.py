"""The recipe of LIIF for real photos."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from models.train.recipes import liif_real
from tests.models.runs import small


def test_for_real_photos_only_what_the_network_sees_is_spoilt(data: Path) -> None:
    clean, real = small("liif"), small("liif-real")
    for recipe in (clean, real):
        recipe.open(data)
    plain = dataclasses.replace(real.degradation, blur=0, noise=0, jpeg=0, bicubic=1)
    unspoilt = liif_real.Recipe(real.budget, degradation=plain)
    unspoilt.photos, unspoilt.odds = real.photos, real.odds
    for seed in range(5):
        hr = clean.photos.pixels[0][:30, :30]
        assert np.array_equal(
            unspoilt.shrink(hr, np.random.default_rng(seed)), clean.shrink(hr, np.random.default_rng(0))
        )
    spoilt = [real.shrink(hr, np.random.default_rng(seed)) for seed in range(5)]
    assert all(not np.array_equal(one, clean.shrink(hr, np.random.default_rng(0))) for one in spoilt)
