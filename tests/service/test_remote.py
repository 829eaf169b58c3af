"""The commands on pictures by a running service: same names, same files, nothing computed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import main
from service.keys import add_key
from service.remote import connected
from tests.living import Lutra, as_file, free_port, opened, photo
from workers.errors import ParameterError


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(as_file(photo(seed=3)))
    return path


@pytest.fixture
def url(lutra: Lutra) -> str:
    return f"http://127.0.0.1:{lutra.port}"


def test_a_picture_is_made_by_the_service_in_the_format_of_its_name(
    url: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["upscale", str(picture), "--scale", "1.5", "--model", "nearest", "--url", url]
    assert main([*words, "-o", str(picture.with_name("b.png"))]) == 0
    assert main([*words, "--json"]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (made["model"], made["width"], made["height"], made["format"]) == ("nearest", 96, 72, "jpeg")
    assert opened(picture.with_name("b.png").read_bytes()).format == "PNG"
    assert opened(picture.with_name("photo-x1.5.jpg").read_bytes()).size == (96, 72)


def test_tables_go_both_ways(url: str, picture: Path) -> None:
    table = picture.with_name("photo.cube")
    assert main(["enhance", str(picture), "-o", str(table), "--url", url]) == 0
    assert b"LUT_3D_SIZE" in table.read_bytes()
    assert main(["enhance", str(picture), "--lut", str(table), "--url", url]) == 0
    assert picture.with_name("photo-enhanced.jpg").exists()
    assert main(["enhance", str(picture), "--lut", str(picture.with_name("none.cube")), "--url", url]) == 1


def test_what_the_service_refuses_is_named_with_its_file(
    url: str, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upscale", str(picture), "--scale", "99", "--url", url]) == 2
    told = capsys.readouterr().err
    assert "photo.jpg: A parameter cannot be used: scale 99" in told
    assert list(picture.parent.iterdir()) == [picture]


@pytest.mark.parametrize(
    "options",
    [
        ["upscale", "--scale", "2", "--model", "lut3d"],
        ["upscale", "--scale", "2", "--strength", "0.5", "--model", "liif"],
        ["upscale", "--scale", "2", "--format", "jpeg", "--lossless"],
        ["upscale", "--width", "10"],
        ["restore", "--only", "rain", "--model", "airnet"],
        ["enhance", "--preset", "none"],
    ],
)
def test_a_bad_parameter_is_wrong_usage_here_and_by_the_service(url: str, picture: Path, options: list[str]) -> None:
    command = [options[0], str(picture), *options[1:]]
    assert (main(command), main([*command, "--url", url])) == (2, 2)
    assert list(picture.parent.iterdir()) == [picture]


def test_a_bad_file_is_a_file_that_failed_here_and_by_the_service(url: str, picture: Path) -> None:
    picture.write_bytes(picture.read_bytes()[:200])
    (table := picture.with_name("no.cube")).write_text("LUT_3D_SIZE 2\n0 0 0\n")
    for options in ([], ["--lut", str(table)]):
        command = ["enhance", str(picture), *options]
        assert (main(command), main([*command, "--url", url])) == (1, 1)
        picture.write_bytes(as_file(photo(seed=3)))


def test_its_models_are_listed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--url", url, "--json"]) == 0
    cards = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"loaded", "devices"} <= cards[0].keys()
    assert main(["models", "--url", url]) == 0
    assert "nearest" in capsys.readouterr().out


def test_it_loads_nothing_that_computes(url: str, picture: Path) -> None:
    program = f"""
import sys
from service.cli import main
assert main(["upscale", {str(picture)!r}, "--scale", "2", "--model", "nearest", "--url", {url!r}, "-q"]) == 0
sys.exit(str([name for name in ("torch", "numpy", "cv2") if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "[]"


def test_a_service_that_is_none_or_not_there_is_a_sentence(picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ParameterError, match="begins with http"):
        connected("127.0.0.1:8000")
    nobody = f"http://127.0.0.1:{free_port()}"
    assert main(["models", "--url", nobody]) == 1
    assert "the service does not answer" in capsys.readouterr().err


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUTRA_KEY", key := add_key(tmp_path / "keys.jsonl", "phone"))
    with connected("http://127.0.0.1:1") as client:
        assert client._http.headers["authorization"] == f"Bearer {key}"
