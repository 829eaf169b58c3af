"""What is asked of each operation: which model serves, what a job keeps, what a result costs."""

from __future__ import annotations

from typing import Any

import pytest

from models.cards import CARDS
from workers.errors import ParameterError, UnknownModel
from workers.operations import OPERATIONS
from workers.operations.choice import Limits, served_models
from workers.operations.operation import ENCODE_S_PER_MP, Encoding, Installation, plan_encoding
from workers.pictures.imageio import FORMATS_OUT
from workers.pictures.picture import Header

PNG = Header("png", 400, 300, 8, has_alpha=False, is_grey=False, lossy=False)
JPEG = Header("jpeg", 400, 300, 8, has_alpha=False, is_grey=False, lossy=True)


def test_each_operation_has_its_model_and_auto_is_the_largest() -> None:
    served = served_models(())
    enhance, restore, upscale = (OPERATIONS[name] for name in ("enhance", "restore", "upscale"))
    assert enhance.choose(None, served).name == "lut3d"
    assert restore.choose(None, served).name == "airnet-u"
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
            operation.parameters.model_validate({**made.to_json(), "hue": 3})


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_leaves_as_what_its_query_offers_and_suffixes_are_formats_too(name: str) -> None:
    operation = OPERATIONS[name]
    assert set(operation.formats) == {*FORMATS_OUT, *(["cube"] if name == "enhance" else [])}
    for told, meant in (("JPG", "jpeg"), ("tif", "tiff"), ("PNG", "png"), ("auto", "auto")):
        assert operation.query(format=told).format == meant
    for wrong in ("gif", "", 1):
        with pytest.raises(ValueError, match="format"):
            operation.query(format=wrong)


def test_how_a_result_leaves_is_decided_by_the_query_and_how_the_picture_came_in() -> None:
    query = OPERATIONS["restore"].query
    told = plan_encoding(query(quality=70, metadata="strip", format="webp", lossless=True), "webp", JPEG)
    assert told == Encoding(format="webp", quality=70, metadata="strip", lossless=True)
    assert plan_encoding(query(), "webp", PNG).lossless and not plan_encoding(query(), "webp", JPEG).lossless
    assert not plan_encoding(query(format="webp"), "webp", PNG).lossless
    with pytest.raises(ParameterError, match="lossless"):
        plan_encoding(query(lossless=True), "jpeg", PNG)


def test_a_result_without_loss_is_given_more_room_and_larger_ones_more_time() -> None:
    operation = OPERATIONS["restore"]

    def parameters(format_out: str, *, lossless: bool = False) -> Any:
        return operation.parameters(format=format_out, lossless=lossless, strength=1)

    for format_out in FORMATS_OUT:
        plain, exact = parameters(format_out), parameters(format_out, lossless=True)
        assert 0 < operation.result_bytes(plain, 1_000_000) <= operation.result_bytes(exact, 1_000_000) <= 3_000_000
        assert operation.encode_s(plain, (2000, 1000)) == pytest.approx(2 * operation.encode_s(plain, (1000, 1000)))
    for format_out in ("webp", "avif"):
        assert operation.result_bytes(parameters(format_out, lossless=True), 1000) > 4 * operation.result_bytes(
            parameters(format_out), 1000
        )


@pytest.mark.parametrize("s_per_mp", [0.1, 1 / 3, 0.7, 3.3, 49.0])
def test_the_most_pixels_that_are_advised_take_no_longer_than_a_job_may(s_per_mp: float) -> None:
    card = CARDS["airnet"]
    at = Installation({card.name: card}, Limits(8, patience_s=0.7), {card.name: s_per_mp})
    advice = OPERATIONS["restore"].largest(card, at, lambda changes: None)
    pixels = advice.members["largest_pixels"]
    assert pixels * s_per_mp / 1e6 <= 0.7 < (pixels + 2) * s_per_mp / 1e6
    assert advice.sentence == f"at most {pixels} pixels fit"
