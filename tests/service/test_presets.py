"""Presets: parameters by name, of the operations that have them; what is given beside one wins."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from models.cards import CARDS
from service.cli import main
from service.presets import Presets, read_presets
from tests.living import as_file, opened, photo
from tests.service.asgi import ASYNC, PHOTO, running_app
from workers.errors import ParameterError, UnknownPreset
from workers.jobs.store import Store
from workers.operations import OPERATIONS
from workers.operations.choice import Limits
from workers.operations.enhance import EnhanceQuery
from workers.operations.operation import Installation
from workers.operations.upscale import UpscaleQuery

UPSCALE = OPERATIONS["upscale"]
STORED = {
    "web": {"format": "webp", "quality": 80},
    "double": {"scale": 2.5, "model": "nearest"},
    "both": {"upscale": {"scale": "2", "model": "nearest"}, "enhance": {"strength": 0.5}},
    "nothing": {},
}


def write(folder: Path, stored: object) -> Path:
    path = folder / "presets.json"
    path.write_text(stored if isinstance(stored, str) else json.dumps(stored))
    return path


def upscale(presets: Presets, name: str | None, **given: object) -> UpscaleQuery:
    found = presets.apply(UPSCALE, UpscaleQuery(**given), name)  # type: ignore[arg-type]
    assert isinstance(found, UpscaleQuery)
    return found


def test_a_preset_is_of_every_operation_that_has_its_parameters_or_of_those_it_names(tmp_path: Path) -> None:
    by_name = read_presets(write(tmp_path, STORED)).by_name
    assert {name: set(each) for name, each in by_name.items()} == {
        "web": {"enhance", "restore", "upscale"},
        "double": {"upscale"},
        "both": {"upscale", "enhance"},
        "nothing": {"enhance", "restore", "upscale"},
    }
    assert by_name["web"]["upscale"] == {"format": "webp", "quality": 80}
    assert by_name["double"]["upscale"]["scale"] == "2.5"  # as it would stand in a URL
    assert read_presets(None).by_name == {}


def test_what_is_given_beside_a_preset_wins(tmp_path: Path) -> None:
    presets = read_presets(write(tmp_path, STORED))
    assert upscale(presets, "double") == UpscaleQuery(scale="2.5", model="nearest")
    assert upscale(presets, "double", scale="3") == UpscaleQuery(scale="3", model="nearest")
    assert upscale(presets, "double", model=None) == UpscaleQuery(scale="2.5", model=None)
    assert upscale(presets, "web", quality=95, scale="2") == UpscaleQuery(format="webp", quality=95, scale="2")
    assert upscale(presets, None, scale="3") == UpscaleQuery(scale="3")
    enhanced = presets.apply(OPERATIONS["enhance"], EnhanceQuery(), "both")
    assert enhanced == EnhanceQuery(strength=0.5)


def test_a_size_that_is_given_stands_in_place_of_another_kind_of_size(tmp_path: Path) -> None:
    stored = {"scaled": {"scale": 2}, "boxed": {"width": 100, "height": 50, "fit": "fill"}, "capped": {"max_pixels": 9}}
    presets = read_presets(write(tmp_path, stored))
    assert upscale(presets, "scaled", width="300") == UpscaleQuery(width="300")
    assert upscale(presets, "capped", scale="3") == UpscaleQuery(scale="3")
    assert upscale(presets, "boxed", max_pixels="1000") == UpscaleQuery(max_pixels="1000")
    assert upscale(presets, "boxed", width="300") == UpscaleQuery(width="300", height="50", fit="fill")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "has to be an object, parameters by name"),
        ({"a": 3}, "'a': has to be an object of parameters"),
        ({"": {}}, "'': a name has 1 to 64 letters"),
        ({"fine": {}, "a": {"format": "gif"}}, "'a', format: Input should be"),
        ({"a": {"scale": 2, "quality": 500}}, "'a', quality: Input should be less than or equal to 100"),
        ({"a": {"strenght": 1}}, "'a', strenght: enhance has no such parameter; known are model, strength"),
        ({"a": {"strength": [1]}}, "'a', strength: "),
        ({"a": {"upscale": {"strength": 2}, "enhance": {}}}, "'a', strength: "),
        *(
            ({"a": {"strength": value}}, "'a', strength: Input should be a finite number")
            for value in (math.nan, -math.inf)
        ),
        ({"a": {"enhance": 3}}, "'a': "),
        ({"a": {"preset": "b"}}, "'a', preset: "),
    ],
)
def test_a_preset_that_cannot_be_is_named_with_file_and_field(tmp_path: Path, stored: object, words: str) -> None:
    path = write(tmp_path, stored)
    with pytest.raises(ParameterError) as told:
        read_presets(path)
    assert told.value.message.startswith(f"LUTRA_PRESETS_FILE='{path}'") and words in told.value.message
    with pytest.raises(ParameterError, match="No such file"):
        read_presets(tmp_path / "none")


AT = Installation({name: CARDS[name] for name in ("lut3d", "nearest", "eclut")}, Limits(max_scale=4), {})


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"a": {"model": "nix"}}, "'a': model 'nix' is not served for /"),
        ({"a": {"upscale": {"model": "lut3d"}}}, "'a': model 'lut3d' is not served for /upscale; known are auto, "),
        ({"a": {"scale": 2, "model": "lanczos"}}, "'a': model 'lanczos' is not served for /upscale"),
        ({"a": {"scale": 2, "width": 300}}, "'a': scale and width/height ask for a size twice"),
        ({"a": {"scale": 5}}, "'a': scale 5 is outside"),
        ({"a": {"scale": "double"}}, "'a': scale 'double' is not a number"),
        ({"a": {"scale": math.nan}}, "'a': scale 'NaN' is not a number"),
        ({"a": {"width": 1, "height": "x", "fit": "fill"}}, "'a': height 'x' is not a whole number"),
        ({"a": {"max_pixels": 1e3}}, "'a': max_pixels '1000.0' is not a whole number"),
    ],
)
def test_a_preset_with_which_nothing_can_be_asked_here_stops_the_start(
    tmp_path: Path, stored: object, words: str
) -> None:
    with pytest.raises(ParameterError) as told:
        read_presets(write(tmp_path, stored), at=AT)
    assert words in told.value.message


def test_a_preset_with_a_model_is_of_its_operation_and_may_leave_a_size_to_who_asks(tmp_path: Path) -> None:
    stored = {"fast": {"model": "eclut"}, "box": {"fit": "fill", "width": 9}, "web": {"quality": 80}}
    presets = read_presets(write(tmp_path, stored), at=AT)
    assert [list(one) for one in presets.by_name.values()] == [["upscale"], ["upscale"], list(OPERATIONS)]


def test_a_name_that_nobody_has_is_told_with_those_of_the_operation(tmp_path: Path) -> None:
    presets = read_presets(write(tmp_path, STORED))
    with pytest.raises(UnknownPreset, match="no preset of restore is named 'double'; known are web, nothing") as told:
        presets.apply(OPERATIONS["restore"], OPERATIONS["restore"].query(), "double")
    assert told.value.members == {"allowed": ["web", "nothing"]}
    with pytest.raises(UnknownPreset, match="there are none"):
        upscale(Presets(), "x" * 5000)


def test_over_http_a_preset_is_listed_and_asked_for_by_name(store: Store, redis_url: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with running_app(redis_url, presets_file=write(tmp_path, STORED)) as here:
            listed = (await here.client.get("/presets")).json()["presets"]
            assert {one["name"] for one in listed} == set(STORED)
            assert {"name": "double", "operations": {"upscale": {"scale": "2.5", "model": "nearest"}}} in listed

            async def parameters(query: str) -> dict[str, object]:
                answer = await here.client.post(f"/upscale?{query}", content=PHOTO, headers=ASYNC)
                assert answer.status_code == 202, answer.text
                return dict(answer.json()["parameters"])

            plain = await parameters("preset=double")
            assert (plain["width"], plain["height"], plain["format"]) == (160, 120, "jpeg")
            assert "preset" not in plain
            other = await parameters("preset=double&scale=2&format=png")
            assert (other["width"], other["format"]) == (128, "png")
            assert (await parameters("preset=double&width=320"))["width"] == 320

            unknown = await here.client.post("/upscale?preset=nope", content=PHOTO)
            assert (unknown.status_code, unknown.json()["type"]) == (422, "urn:lutra:problem:unknown-preset")
            assert unknown.json()["allowed"] == ["web", "double", "both", "nothing"]
            document = (await here.client.get("/openapi.json")).json()
            names = [one["name"] for one in document["paths"]["/enhance"]["post"]["parameters"]]
            assert "preset" in names and "strength" in names

    asyncio.run(story())


def test_the_command_line_reads_the_same_presets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "photo.jpg"
    source.write_bytes(as_file(photo()))
    monkeypatch.setenv("LUTRA_PRESETS_FILE", str(write(tmp_path, STORED)))

    def made(*options: str) -> tuple[int, int]:
        assert main(["upscale", str(source), "-o", str(tmp_path / "out.png"), *options]) == 0
        return opened((tmp_path / "out.png").read_bytes()).size

    assert made("--preset", "double") == (160, 120)
    assert made("--preset", "double", "--scale", "3") == (192, 144)
    assert main(["upscale", str(source), "-o", str(tmp_path / "x.png"), "--preset", "nope"]) == 2
    assert "known are web, double, both, nothing" in capsys.readouterr().err


def test_a_file_that_begins_with_a_mark_of_byte_order_is_read(tmp_path: Path) -> None:
    path = tmp_path / "presets.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"web": {"quality": 80}}).encode())
    assert list(read_presets(path).by_name) == ["web"]
