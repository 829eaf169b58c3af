"""`lossless` as a client asks for it, at a real service and on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.cli import main
from tests.living import Lutra, as_file, opened, photo
from workers.jobs.job import PictureFacts, new_job
from workers.operations.choice import choose_model, served_models
from workers.operations.enhance import Enhance, EnhanceParameters
from workers.operations.operation import Plan
from workers.pictures import imageio

PIXELS = photo(40, 56)
LOSSLESS = as_file(PIXELS, "WEBP", lossless=True)
WAYS = ("/enhance?strength=0", "/restore?strength=0", "/upscale?scale=2&model=nearest")


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(opened(data).convert("RGB"))


@pytest.mark.parametrize("way", WAYS)
def test_what_came_in_lossless_leaves_lossless(lutra: Lutra, way: str) -> None:
    answer = lutra.post(way, LOSSLESS)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert np.array_equal(pixels(answer.content)[:: 2 if "scale" in way else 1, :: 2 if "scale" in way else 1], PIXELS)
    assert not imageio.probe(answer.content).lossy
    for more in ("&format=webp", "&lossless=false"):
        assert imageio.probe(lutra.post(way + more, LOSSLESS).content).lossy


@pytest.mark.parametrize("format_out", ["webp", "avif", "png", "tiff"])
def test_lossless_can_be_asked_for(lutra: Lutra, format_out: str) -> None:
    answer = lutra.post(f"/enhance?strength=0&lossless=true&quality=10&format={format_out}", as_file(PIXELS, "PNG"))
    assert answer.status_code == 200
    assert np.array_equal(pixels(answer.content), PIXELS)
    told = lutra.client.get(f"/jobs/{answer.headers['x-job-id']}").json()["parameters"]
    assert told["lossless"] is True


def test_what_is_negotiated_from_a_lossless_picture_is_lossless_too(lutra: Lutra) -> None:
    answer = lutra.post("/enhance?strength=0", as_file(PIXELS, "PNG"), headers={"Accept": "image/avif"})
    assert np.array_equal(pixels(answer.content), PIXELS)


@pytest.mark.parametrize(
    ("query", "data", "told"),
    [
        ("lossless=true&format=jpeg", LOSSLESS, "jpeg is never lossless"),
        ("lossless=true", as_file(PIXELS), "jpeg is never lossless"),
        ("lossless=perhaps", LOSSLESS, "lossless"),
        ("lossless=true&format=jxl", LOSSLESS, "format"),
    ],
)
def test_what_cannot_be_is_a_problem(lutra: Lutra, query: str, data: bytes, told: str) -> None:
    answer = lutra.post(f"/enhance?strength=0&{query}", data)
    assert answer.status_code == 422
    assert told in answer.text


def test_equal_computations_are_equal_in_this_too() -> None:
    card = choose_model("enhance", None, served_models(()))
    facts = PictureFacts("webp", 56, 40, len(LOSSLESS))
    kept, lossy = (EnhanceParameters(format="webp", strength=0.0, lossless=lossless) for lossless in (True, False))
    jobs = [new_job(LOSSLESS, facts, Plan(Enhance(), card, one, (40, 56))) for one in (kept, lossy)]
    assert jobs[0].computation.key != jobs[1].computation.key
    assert Enhance().result_bytes(kept, 1000) > 2 * Enhance().result_bytes(lossy, 1000)
    assert Enhance().result_bytes(kept, 40 * 56) > 0.8 * len(LOSSLESS)


def test_the_command_line_keeps_and_makes_lossless_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.webp"
    source.write_bytes(LOSSLESS)
    enhance = ["enhance", str(source), "--strength", "0", "-o"]
    assert main([*enhance, str(tmp_path / "out")]) == 0
    assert main([*enhance, str(tmp_path / "b.webp")]) == 0
    assert main([*enhance, str(tmp_path / "c.webp"), "--no-lossless"]) == 0
    assert main([*enhance, str(tmp_path / "d.avif"), "--lossless"]) == 0
    for name, is_same in (("out/a.webp", True), ("b.webp", True), ("c.webp", False), ("d.avif", True)):
        assert np.array_equal(np.asarray(Image.open(tmp_path / name).convert("RGB")), PIXELS) is is_same
    assert main([*enhance, str(tmp_path / "e.jpg"), "--lossless"]) != 0
    assert "jpeg is never lossless" in capsys.readouterr().err
