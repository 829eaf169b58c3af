"""What is asked of each operation: which model serves, what a job keeps, what a result costs."""

from __future__ import annotations

from typing import Any

import pytest

from models.cards import CARDS
from workers.errors import UnknownModel
from workers.operations import OPERATIONS
from workers.operations.choice import served_models
from workers.operations.operation import ENCODE_S_PER_MP
from workers.pictures.imageio import FORMATS_OUT


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


def test_every_format_has_a_cost_of_its_own() -> None:
    assert set(ENCODE_S_PER_MP) == set(FORMATS_OUT)


def test_parameters_survive_json_and_refuse_what_they_do_not_know() -> None:
    samples: dict[str, dict[str, Any]] = {
        "enhance": {"strength": 0.5},
        "restore": {"strength": 0.5},
        "upscale": {"height": 9, "width": 9, "effort": "best", "scale": "3/2"},
    }
    for name, operation in OPERATIONS.items():
        made = operation.parameters(format="png", **samples[name])
        assert operation.parameters.model_validate(made.to_json()) == made
        with pytest.raises(ValueError, match="extra"):
            operation.parameters.model_validate({**made.to_json(), "only": "noise"})
