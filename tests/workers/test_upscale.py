"""/upscale: what a query comes to."""

from __future__ import annotations

import pytest

from models.cards import CARDS
from workers.errors import ParameterError
from workers.operations.choice import served_models
from workers.operations.upscale import blend_strength

LIIF = CARDS["liif"]


def test_strength_is_for_models_that_have_it_where_what_they_blend_with_is_served() -> None:
    served, srgan = served_models(()), CARDS["srgan"]
    if srgan.blends_with not in served:
        served = {**served, "srgan": srgan, str(srgan.blends_with): CARDS[str(srgan.blends_with)]}
    assert blend_strength(srgan, 0.5, served) == 0.5
    assert blend_strength(LIIF, 1, served) is None
    with pytest.raises(ParameterError, match="has no strength"):
        blend_strength(LIIF, 0.5, served)
    with pytest.raises(ParameterError, match="is not served"):
        blend_strength(srgan, 0.5, {"srgan": srgan})
    assert blend_strength(srgan, 1, {"srgan": srgan}) == 1
