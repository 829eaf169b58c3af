"""Which model answers, and what a job is told of strength."""

from __future__ import annotations

import pytest

from models.cards import CARDS
from workers.errors import ParameterError, UnknownModel
from workers.operations import OPERATIONS
from workers.operations.choice import served_models
from workers.operations.upscale import blend_strength

LIIF = CARDS["liif"]


def test_each_operation_has_its_model_and_auto_is_the_largest() -> None:
    served = served_models(())
    enhance, restore, upscale = (OPERATIONS[name] for name in ("enhance", "restore", "upscale"))
    assert enhance.choose(None, served).name == "lut3d"
    assert restore.choose(None, served).name == "airnet"
    largest = max((card for card in served.values() if card.task == "upscale"), key=lambda card: card.parameters)
    assert upscale.choose(None, served) == upscale.choose("auto", served) == largest
    assert upscale.choose("nearest", served).name == "nearest"


@pytest.mark.parametrize(("operation", "asked"), [("upscale", "lut3d"), ("enhance", "liif"), ("upscale", "nobody")])
def test_a_model_of_another_operation_or_of_none_is_refused_with_those_there_are(operation: str, asked: str) -> None:
    with pytest.raises(UnknownModel) as refused:
        OPERATIONS[operation].choose(asked, served_models(()))
    allowed = refused.value.members["allowed"]
    assert asked in refused.value.message
    assert all(name == "auto" or CARDS[name].task == operation for name in allowed) and allowed


def test_what_is_not_served_is_not_there() -> None:
    only = served_models(("liif", "nearest"))
    assert set(only) == {"liif", "nearest"}
    with pytest.raises(UnknownModel, match="not served here"):
        OPERATIONS["enhance"].choose(None, only)


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
