"""Sizes: exact, and refused with what was seen and what is allowed."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest

from workers.errors import ParameterError, TooManyPixels
from workers.operations.sizes import Bounds, SizeAsked, output_size, parse_scale, target_size


@pytest.mark.parametrize("text", ["3.7", "37/10", " 3.70 ", "3.7e0", 3.7, Fraction(37, 10)])
def test_a_scale_is_the_fraction_that_was_written(text: str | float | Fraction) -> None:
    assert parse_scale(text) == Fraction(37, 10)


NO_SCALES = ["nan", "inf", "-inf", "", " ", "0", "-1", "-3.7", "1", "1.0", "1e9", "8.0000001", "9.5", "3,7", "1/0"]
HOSTILE = ["9" * 5000, "1e999999999", "9" * 18 + "e99", "٣", "1_0", "0x3", "0/5", "abc", "true", "\x00"]


@pytest.mark.parametrize("text", [*NO_SCALES, *HOSTILE, float("nan"), float("inf"), -0.0])
def test_what_is_no_scale_is_refused_in_one_short_sentence(text: str | float) -> None:
    with pytest.raises(ParameterError) as refused:
        parse_scale(text, model="liif")
    assert len(refused.value.message) < 120
    assert refused.value.members["parameter"] == "scale"


def test_the_refusal_names_the_range_and_the_model() -> None:
    with pytest.raises(ParameterError, match=r"^scale 9\.5 is outside 1 to 8 for liif$"):
        parse_scale("9.5", model="liif")
    with pytest.raises(ParameterError, match=r"^scale 3 is outside 1 to 2\.5 for small$"):
        target_size(10, 10, SizeAsked(scale="3"), Bounds("small", max_scale="2.5"))


@pytest.mark.parametrize(("n", "scale", "expected"), [(5, "1.5", 8), (3, "1.5", 5), (7, "3.7", 26), (1, "1.4", 1)])
def test_half_pixels_round_up(n: int, scale: str, expected: int) -> None:
    assert target_size(n, n, SizeAsked(scale=scale)) == (expected, expected)


def test_a_size_is_exact_where_floats_are_not() -> None:
    assert output_size(10**17 + 1, 3, Fraction(3, 2)) == (3 * 10**17 // 2 + 2, 5)
    # 49.5 and 16.5; 45 * 1.1 is 49.50000000000001 as a float
    assert target_size(45, 15, SizeAsked(scale="1.1")) == (50, 17)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"width": "400"}, (200, 400)),
        ({"height": "401"}, (401, 802)),
        ({"height": 401, "width": 900}, (401, 802)),
        ({"height": 401, "width": 900, "fit": "fill"}, (401, 900)),
        ({"height": 100, "width": 900}, (100, 200)),
        ({"width": 200}, (100, 200)),
        ({"max_pixels": "1000000"}, (707, 1414)),
        ({"max_pixels": 20_000}, (100, 200)),
        ({"max_pixels": 10**12}, (800, 1600)),
    ],
)
def test_sides_and_pixels_give_a_size_of_the_same_aspect(asked: dict[str, Any], expected: tuple[int, int]) -> None:
    assert target_size(100, 200, SizeAsked(**asked)) == expected


@pytest.mark.parametrize(("height", "width"), [(1, 20_000), (20_000, 1), (3, 7), (1, 1), (999, 1000)])
@pytest.mark.parametrize("factor", [1, 1.01, 2, 7.7, 40])
def test_max_pixels_is_kept_and_one_step_more_would_break_it(height: int, width: int, factor: float) -> None:
    limit = int(height * width * factor)
    out = target_size(height, width, SizeAsked(max_pixels=limit))
    assert out[0] * out[1] <= limit
    longer = max(height, width)
    if max(out) < 8 * longer:
        more = output_size(height, width, Fraction(max(out) + 1, longer))
        assert more[0] * more[1] > limit


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({}, "no size asked for"),
        ({"scale": 2, "width": 300}, "scale and width/height ask for a size twice"),
        ({"height": 300, "max_pixels": 10**6}, "width/height and max_pixels ask for a size twice"),
        ({"width": 199}, "width 199 is smaller than the picture's 200"),
        ({"height": 90, "width": 1000}, "height 90 is smaller than the picture's 100"),
        ({"height": 99, "width": 1000, "fit": "fill"}, "height 99 is smaller"),
        ({"width": 1601}, "width 1601 is scale 8.005, which is outside 1 to 8 for liif"),
        ({"height": 100, "width": 1700, "fit": "fill"}, "width 1700 is scale 8.5, which is outside"),
        ({"width": ""}, "width '' is not a whole number"),
        ({"width": "nan"}, "width 'nan' is not a whole number"),
        ({"height": "0"}, "height 0 is too small"),
        ({"height": "-5"}, "height -5 is too small"),
        ({"max_pixels": 19_999}, "max_pixels 19999 is less than the picture's own 20000"),
        ({"max_pixels": "1e6"}, "max_pixels '1e6' is not a whole number"),
        ({"width": 300, "fit": "cover"}, "fit 'cover' is unknown"),
        ({"width": 300, "fit": "fill"}, "fit=fill needs both"),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_its_reason(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError) as refused:
        target_size(100, 200, SizeAsked(**asked), Bounds("liif"))
    assert refused.value.message.startswith(sentence)


def test_more_output_than_allowed_is_refused_by_arithmetic() -> None:
    with pytest.raises(TooManyPixels, match="64000x56000") as refused:
        target_size(7000, 8000, SizeAsked(scale=8), Bounds(max_output_pixels=200_000_000))
    assert refused.value.members == {"pixels": 3_584_000_000, "limit": 200_000_000}


def test_geometry_is_importable_without_torch_and_numpy() -> None:
    check = "import sys, workers.operations.sizes; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
