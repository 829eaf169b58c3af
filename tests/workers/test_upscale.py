"""/upscale: what a query comes to for a picture, what its refusals advise, and what the engine makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from models.cards import CARDS, Size
from tests.living import opened, photo
from workers.engine.engine import Engine
from workers.errors import ParameterError
from workers.operations.choice import Limits, served_models
from workers.operations.operation import Installation, Plan, Work, plan_encoding
from workers.operations.upscale import Upscale, UpscaleParameters, UpscaleQuery, blend_strength
from workers.pictures.picture import Header, Picture

LIIF = CARDS["liif"]
UPSCALE = Upscale()
HEADER = Header("png", 400, 300, 8, has_alpha=False, is_grey=False, lossy=False)
SERVED = {name: CARDS[name] for name in ("liif", "srresnet", "srgan", "eclut", "bicubic")}
AT = Installation(SERVED, Limits(8, max_output_pixels=20_000_000, patience_s=60), {})


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


def planned(at: Installation = AT, **asked: Any) -> Plan[UpscaleParameters]:
    query = UpscaleQuery.model_validate(asked)
    UPSCALE.check(query, at)
    return UPSCALE.plan(query, HEADER, plan_encoding(query, "png", HEADER), at, None)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"scale": "7/2"}, (1050, 1400)),
        ({"scale": "3.7"}, (1110, 1480)),
        ({"width": "1000"}, (750, 1000)),
        ({"height": "600"}, (600, 800)),
        ({"width": "800", "height": "1000"}, (600, 800)),
        ({"width": "800", "height": "1000", "fit": "fill"}, (1000, 800)),
        ({"max_pixels": "480000"}, (600, 800)),
    ],
)
def test_every_way_to_ask_for_a_size_becomes_height_and_width(asked: dict[str, Any], size: tuple[int, int]) -> None:
    plan = planned(model="bicubic", **asked)
    assert plan.size == (plan.parameters.height, plan.parameters.width) == size
    assert (plan.operation, plan.card) == (UPSCALE, CARDS["bicubic"])
    assert plan.parameters.scale == asked.get("scale")


@pytest.mark.parametrize(
    ("asked", "parameter", "words"),
    [
        ({}, "scale", "no size asked for"),
        ({"scale": "9"}, "scale", "1 to 8"),
        ({"scale": "5", "model": "srresnet"}, "scale", "srresnet"),
        ({"scale": "two"}, "scale", "two"),
        ({"scale": "2", "width": "800"}, "width/height", "scale"),
    ],
)
def test_a_size_that_cannot_be_is_a_sentence_that_names_its_parameter(
    asked: dict[str, Any], parameter: str, words: str
) -> None:
    with pytest.raises(ParameterError, match=words) as refused:
        planned(**asked)
    assert refused.value.members["parameter"] == parameter


def test_what_is_wrong_with_any_picture_is_told_before_there_is_one() -> None:
    for asked in ({}, {"scale": "9"}, {"scale": "2", "model": "nobody"}):
        with pytest.raises(ParameterError):
            UPSCALE.check(UpscaleQuery.model_validate(asked), AT)
    UPSCALE.check(UpscaleQuery(max_pixels="1000000"), AT)


def test_effort_and_strength_reach_the_job_and_a_model_without_strength_has_none_in_it() -> None:
    dreamt = planned(model="srgan", scale="4", strength=0.25, effort="fast").parameters
    assert (dreamt.strength, dreamt.effort) == (0.25, "fast")
    assert dreamt.to_json()["strength"] == 0.25
    assert "strength" not in planned(model="liif", scale="4").parameters.to_json()
    with pytest.raises(ParameterError, match="liif has no strength; ask for model=srgan") as refused:
        planned(model="liif", scale="4", strength=0.5)
    assert refused.value.members["parameter"] == "strength"


def test_a_speed_counts_the_pixels_that_a_model_makes_and_none_where_the_size_is_there_already() -> None:
    size = (HEADER.height, HEADER.width)
    doubled = planned(model="srresnet", scale="2").parameters
    assert UPSCALE.computed_pixels(CARDS["srresnet"], size, doubled) == 16 * 300 * 400  # it makes x4, whatever is kept
    assert UPSCALE.computed_pixels(CARDS["liif"], size, doubled) == 4 * 300 * 400
    same = planned(model="liif", width="400").parameters
    assert UPSCALE.computed_pixels(CARDS["liif"], size, same) == 0


def fitting(most: int) -> Callable[[dict[str, object]], Size | None]:
    """What an estimate says of a change where so many pixels are made in time."""

    def fits(changes: dict[str, Any]) -> Size | None:
        assert changes["fit"] == "inside" and changes["width"] is changes["height"] is changes["max_pixels"] is None
        try:
            size = planned(model="bicubic", **changes).size
        except ParameterError:
            return None
        return size if size[0] * size[1] <= most else None

    return fits


@pytest.mark.parametrize("most", [122_412, 480_000, 1_234_567, 7_679_999, 10**9])
def test_the_largest_scale_that_fits_is_found_to_the_hundredth(most: int) -> None:
    advice = UPSCALE.largest(CARDS["bicubic"], AT, fitting(most))
    largest = advice.members["largest_scale"]
    height, width = planned(model="bicubic", scale=str(largest)).size
    assert height * width == advice.members["largest_pixels"] <= most
    if largest < 8:
        above = planned(model="bicubic", scale=f"{largest + 0.01:.2f}").size
        assert above[0] * above[1] > most
    assert f"scale {largest:g} ({width}x{height}, {height * width} pixels)" in advice.sentence


def test_where_no_scale_fits_the_advice_says_so() -> None:
    advice = UPSCALE.largest(CARDS["bicubic"], AT, fitting(122_411))  # of 1.01 there are 122412
    assert (advice.members, advice.sentence) == ({}, "no scale of this picture fits")


def test_the_engine_makes_what_was_planned() -> None:
    ticks: list[tuple[int, int]] = []
    plan, pixels = planned(model="bicubic", width="500", height="700", fit="fill"), photo(300, 400)
    picture = Picture(pixels, None, None, None, "png", False)
    work = Work(UPSCALE, plan.card.name, plan.parameters)
    found = UPSCALE.run(Engine(device="cpu"), picture, work, lambda *at: ticks.append(at))
    assert found.pixels.shape == (700, 500, 3)
    assert ticks[-1][0] == ticks[-1][1] > 0
    made = UPSCALE.encode(found, plan.parameters)
    assert (made.format, made.width, made.height, made.pixels) == ("png", 500, 700, 350_000)
    assert np.array_equal(np.asarray(opened(made.data)), found.pixels)
