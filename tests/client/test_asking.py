"""What is asked for, as it goes over HTTP: the same names, and the format that a file's name says."""

from __future__ import annotations

from pathlib import Path

import pytest
from lutra_client.asking import Operations, ask_for_file, headers_of
from lutra_client.exchange import Ask
from lutra_client.options import EnhanceOptions, RestoreOptions, UpscaleOptions

from workers.operations import OPERATIONS


class Kept(Operations[Ask]):
    def _request(self, ask: Ask) -> Ask:
        return ask


def test_options_become_parameters_and_ours_stay_here() -> None:
    ask = Kept().upscale(b"photo", scale=3.7, lossless=True, fresh=True, on_progress=print, model="liif")
    assert (ask.operation, ask.picture) == ("upscale", b"photo")
    assert ask.parameters == {"scale": "3.7", "lossless": "true", "model": "liif"}
    assert ask.fresh and ask.on_progress is print
    assert Kept().enhance(b"photo", lut=b"table").lut == b"table"
    assert Kept().restore(b"photo", only="noise").parameters == {"only": "noise"}
    assert Kept().ask("upscale", b"photo", {"width": 7, "height": None}).parameters == {"width": "7"}


@pytest.mark.parametrize(
    ("operation", "options"), [("enhance", EnhanceOptions), ("restore", RestoreOptions), ("upscale", UpscaleOptions)]
)
def test_the_options_are_those_of_the_service(operation: str, options: type) -> None:
    ours = {"fresh", "on_progress", "lut"}
    names = set(options.__required_keys__ | options.__optional_keys__) - ours  # type: ignore[attr-defined]
    asked = set(OPERATIONS[operation].query.model_fields) | {"preset"}
    assert names - asked <= {"strength"} and asked <= names  # strength is of upscale, too, and stands among the common


def test_a_file_asks_for_the_format_of_its_name_unless_another_is_asked_for() -> None:
    plain, png = Ask("upscale", b""), Ask("upscale", b"", {"format": "png"})
    assert ask_for_file(plain, Path("b.jpg")).parameters == {"format": "jpeg"}
    assert ask_for_file(png, Path("b.PNG")) == png and ask_for_file(png, Path("b")) == png
    with pytest.raises(ValueError, match=r"b.jpg names jpeg, and format=png is asked for"):
        ask_for_file(png, Path("b.jpg"))


def test_a_key_goes_as_a_bearer() -> None:
    assert headers_of("k")["Authorization"] == "Bearer k"
    assert "Authorization" not in headers_of(None)
