"""Wrong usage says where the help is, and how a file is named that looks like an option."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli import main


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "lutra"),
        (["nothing"], "lutra"),
        (["--nothing"], "lutra"),
        (["upscale"], "lutra upscale"),
        (["upscale", "a.png", "--scal", "2"], "lutra upscale"),
        (["enhance", "a.png", "--strength", "2"], "lutra enhance"),
        (["key", "new"], "lutra key new"),
    ],
)
def test_wrong_usage_leads_to_the_help_of_its_command(
    words: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error, see = told(words, capsys).splitlines()[-2:]
    assert error.startswith(f"{command}: error: ") and see == f"see {command} --help"
    with pytest.raises(SystemExit) as end:
        main(see.split()[2:])
    assert end.value.code == 0


@pytest.mark.parametrize("name", ["-rf.png", "--force.png", "-q.png"])
def test_a_file_that_looks_like_an_option_can_be_named_otherwise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "is a file here" not in told(["restore", "a.png", name], capsys)
    Path(name).write_bytes(b"")
    assert f"{name} is a file here: name it ./{name}, or put all files behind --" in told(["restore", name], capsys)
    for words in ([f"./{name}"], ["--", name]):
        assert main(["restore", *words]) == 1
        assert f"{name}: not a picture" in capsys.readouterr().err


def test_a_word_that_no_file_could_have_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unrecognized arguments: --aaa" in told(["restore", "a.png", f"--{'a' * 5000}"], capsys)
