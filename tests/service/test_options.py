"""Options of a command out of an operation's query: one for each field, with its rules; defaults stay the query's."""

from __future__ import annotations

import argparse
from typing import Annotated, Literal, TypeVar

import pytest
from pydantic import Field

from service.options import add_options, read_query
from workers.operations import OPERATIONS
from workers.operations.enhance import EnhanceQuery
from workers.operations.operation import Format, Lossless, Metadata, ModelName, Quality, Query
from workers.operations.upscale import UpscaleQuery

Q = TypeVar("Q", bound=Query)


class Many(Query):
    """A field of each kind that operations have."""

    some_size: Annotated[str | None, Field(description="Pixels, or 50% of them.")] = None
    share: Annotated[float, Field(ge=0, le=1)] = 0.75
    count: Annotated[int | None, Field(ge=1, le=9)] = None
    axis: Literal["left", "right"] = "left"
    exact: bool | None = None
    model: ModelName = None
    format: Format = "auto"
    quality: Quality = None
    metadata: Metadata = "keep"
    lossless: Lossless = None


def parser_of(query: type[Query]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lutra")
    add_options(parser, query)
    return parser


def asked(query: type[Q], *words: str) -> Q:
    return read_query(query, parser_of(query).parse_args(words))


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_has_an_option_for_every_field_and_no_other(name: str) -> None:
    query = OPERATIONS[name].query
    options = {option for action in parser_of(query)._actions for option in action.option_strings}
    wanted = {f"--{field.replace('_', '-')}" for field in query.model_fields}
    assert options == wanted | {"-h", "--help", "--no-lossless"}


def test_values_become_what_their_fields_say() -> None:
    words = ("--some-size", "7", "--share", "0.5", "--count", "3", "--axis", "right", "--exact", "--model", "x")
    assert asked(Many, *words) == Many(some_size="7", share=0.5, count=3, axis="right", exact=True, model="x")
    assert asked(UpscaleQuery, "--max-pixels", "9", "--format", "webp") == UpscaleQuery(max_pixels="9", format="webp")


def test_a_format_is_spelt_as_http_takes_it() -> None:
    for text, meant in (("JPG", "jpeg"), ("tif", "tiff"), ("PNG", "png")):
        assert asked(UpscaleQuery, "--format", text).format == meant


def test_what_is_not_given_is_left_to_the_query_and_what_belongs_to_the_command_is_none_of_its() -> None:
    parser = parser_of(Many)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--output")
    arguments = parser.parse_args(["a.png", "--output", "b.png"])
    assert vars(arguments) == {"files": ["a.png"], "output": "b.png"}
    assert read_query(Many, arguments) == Many()
    assert read_query(Many, arguments).share == 0.75


@pytest.mark.parametrize(("words", "meant"), [((), None), (("--exact",), True), (("--no-exact",), False)])
def test_yes_no_and_unset_are_three(words: tuple[str, ...], meant: bool | None) -> None:
    assert asked(Many, *words).exact is meant


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--share", "2"), "argument --share: 2: Input should be less than or equal to 1"),
        (("--share", "nan"), "argument --share: nan: Input should be a finite number"),
        (("--share", "inf"), "argument --share: inf: Input should be a finite number"),
        (("--share", "much"), "argument --share: much: Input should be a valid number"),
        (("--count", "0"), "argument --count: 0: Input should be greater than or equal to 1"),
        (("--count", "1.5"), "argument --count: 1.5: Input should be a valid integer"),
        (("--axis", "up"), "argument --axis: invalid choice: 'up'"),
        (("--nothing", "1"), "unrecognized arguments"),
    ],
)
def test_a_value_that_cannot_be_ends_with_two_and_a_sentence(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        asked(Many, *words)
    assert end.value.code == 2
    printed = capsys.readouterr().err
    assert sentence in printed.splitlines()[-1] and "Traceback" not in printed


def test_help_tells_descriptions_ranges_and_choices() -> None:
    told = " ".join(parser_of(Many).format_help().split())
    assert "--some-size SOME_SIZE Pixels, or 50% of them." in told
    assert "--share 0..1" in told and "--count 1..9" in told
    assert "--axis {left,right}" in told
    assert "--exact, --no-exact" in told
    assert "0: unchanged, 1: as the model says." in " ".join(parser_of(EnhanceQuery).format_help().split())
