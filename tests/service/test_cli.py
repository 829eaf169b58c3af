"""The command line as a user runs it: real files, real exit statuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import _joined, build_parser, main
from service.keys import hash_of
from tests.living import as_file, photo

CLI = [sys.executable, "-m", "service.cli"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*CLI, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(as_file(photo()))
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ["upscale"],
        ["nothing"],
        [],
        ["enhance", "a.jpg", "-o", "b.jpg", "--strength", "2"],
        ["up", "--port", "x"],
    ],
)
def test_wrong_usage_ends_with_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


def test_a_bad_parameter_ends_with_two_and_a_sentence(picture: Path, tmp_path: Path) -> None:
    done = run("upscale", picture, "-o", tmp_path / "x.png", "--scale", "99")
    assert done.returncode == 2
    assert "99" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "x.png").exists()


def test_two_sizes_at_once_and_none_are_wrong_usage_before_any_file_is_read(tmp_path: Path) -> None:
    for size, sentence in (
        (("--scale", "2", "--width", "500"), "ask for a size twice"),
        (("--width", "500", "--fit", "fill"), "fit=fill needs both"),
        ((), "no size asked for"),
    ):
        done = run("upscale", tmp_path / "nothing.png", "-o", tmp_path / "x.png", *size)
        assert done.returncode == 2
        assert sentence in done.stderr and "nothing.png" not in done.stderr


def test_a_setting_that_cannot_be_is_a_sentence_that_names_it() -> None:
    values = {"LUTRA_TILE": "x", "LUTRA_PORT": "abc", "LUTRA_DEVICE": "tpu", "LUTRA_MODELS": "nope"}
    for name, value in values.items():
        done = run("up", **{name: value})
        assert done.returncode == 2
        assert name in done.stderr and "Traceback" not in done.stderr


def test_gateway_and_worker_without_a_redis_url_say_what_to_set() -> None:
    for command in ("gateway", "worker"):
        done = run(command)
        assert done.returncode == 2
        assert "LUTRA_REDIS_URL" in done.stderr


def test_a_redis_url_that_is_none_is_a_sentence_that_does_not_repeat_it() -> None:
    for command in ("up", "gateway", "worker"):
        done = run(command, LUTRA_REDIS_URL="http://:secret@host/0")
        assert done.returncode == 2
        assert "LUTRA_REDIS_URL" in done.stderr and "secret" not in done.stderr


def test_models_lists_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("lut3d", "liif", "fourier"))
    told = [line.partition(" ")[0] for line in listed.splitlines() if line.endswith("; only: noise, rain, haze, jpeg")]
    assert told == ["airnet-u"]


def test_models_are_told_as_json_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    cards = {card["name"]: card for card in map(json.loads, capsys.readouterr().out.splitlines())}
    assert cards["liif"]["task"] == "upscale" and cards["liif"]["max_scale"] == 8 and cards["liif"]["scores"]
    assert (cards["airnet"]["kinds"], cards["airnet-u"]["kinds"]) == ([], ["noise", "rain", "haze", "jpeg"])


def test_help_of_a_command_is_its_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    told = {}
    for words in (["help"], ["help", "upscale"]):
        assert main(words) == 0
        told[words[-1]] = capsys.readouterr().out
    for words in (["--help"], ["upscale", "--help"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0 and capsys.readouterr().out in told.values()
    assert "examples:" in told["help"] and "docs/cli.md" in told["help"] and "photo-x3.7.jpg" in told["upscale"]
    assert main(["help", "nothing"]) == 2
    assert "no command is named 'nothing'; there are up," in capsys.readouterr().err


def test_a_suffix_may_begin_with_a_dash() -> None:
    words = ["upscale", "a.jpg", "--suffix", "-large", "--scale", "2"]
    assert build_parser().parse_args(_joined(words)).suffix == "-large"
    assert _joined(["upscale", "--suffix"]) == ["upscale", "--suffix"]


def test_a_new_key_is_printed_once_with_the_line_for_it(tmp_path: Path) -> None:
    told = run("key", "new", "phone")
    key, line = told.stdout.splitlines()
    assert told.returncode == 0 and json.loads(line) == {"name": "phone", "hash": hash_of(key)}
    assert key not in told.stderr


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_new_key_is_added_to_the_file_that_is_named(tmp_path: Path, by_setting: bool) -> None:
    path = tmp_path / "keys.jsonl"
    options = ([], {"LUTRA_API_KEYS_FILE": str(path)}) if by_setting else (["--file", path], {})
    told = run("key", "new", "phone", *options[0], **options[1])
    (key,) = told.stdout.splitlines()
    assert json.loads(path.read_text()) == {"name": "phone", "hash": hash_of(key)}


def test_a_key_for_no_name_is_wrong_usage(tmp_path: Path) -> None:
    told = run("key", "new", "a b", "--file", tmp_path / "keys.jsonl")
    assert (told.returncode, told.stdout) == (2, "") and "name" in told.stderr
    assert not (tmp_path / "keys.jsonl").exists()
    with pytest.raises(SystemExit) as end:
        main(["key"])
    assert end.value.code == 2


@pytest.mark.parametrize("command", ["up", "gateway"])
def test_a_file_of_keys_that_is_not_as_it_should_be_is_wrong_usage(tmp_path: Path, command: str) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text('{"name": "phone", "hash": "sha256:12"}')
    settings = {"LUTRA_API_KEYS_FILE": str(path), "LUTRA_DATA_DIR": str(tmp_path), "LUTRA_PORT": "0"}
    told = run(command, **settings, LUTRA_REDIS_URL="redis://127.0.0.1:1/0")
    assert told.returncode == 2 and "line 1, hash" in told.stderr and "Traceback" not in told.stderr
    presets = {**settings, "LUTRA_API_KEYS_FILE": "", "LUTRA_PRESETS_FILE": str(tmp_path / "none")}
    told = run(command, **presets, LUTRA_REDIS_URL="redis://127.0.0.1:1/0")
    assert told.returncode == 2 and "LUTRA_PRESETS_FILE=" in told.stderr and "Traceback" not in told.stderr
