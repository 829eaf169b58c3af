"""POST /enhance and POST /upscale through the real service: gateway, queue, worker, models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from models.cards import CARDS
from tests.living import Lutra, as_file, opened, photo

PHOTO = as_file(photo(), quality=95)


def test_upscale_gives_the_size_of_a_fractional_scale(lutra: Lutra) -> None:
    answer = lutra.post("/upscale?scale=3.7", PHOTO)
    assert answer.status_code == 200, answer.text
    picture = opened(answer.content)
    assert (picture.format, picture.size) == ("JPEG", (237, 178))


def test_auto_takes_the_network_for_what_came_in_lossy_or_clean(lutra: Lutra) -> None:
    sharp, real = (
        {"lmliif", "liif", "srresnet"},
        {"liif-real"},
    )  # of two equally good ones the faster, by what was measured
    for format, models in (("png", sharp), ("jpeg", real), ("webp", real)):  # noqa: A001
        answer = lutra.post("/upscale?scale=1.5", as_file(photo(), format))
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-lutra-model"] in models


@pytest.mark.parametrize("model", [*sorted(name for name, card in CARDS.items() if card.task == "upscale"), "auto"])
def test_every_model_upscales_and_stays_near_the_picture(lutra: Lutra, model: str) -> None:
    answer = lutra.post(f"/upscale?scale=2&model={model}&format=png", PHOTO)
    assert answer.status_code == 200, answer.text
    small = np.asarray(opened(answer.content).resize((64, 48), 4), int)
    assert np.abs(small - photo()).mean() < 8


def test_enhance_gives_a_picture_of_the_same_size_that_differs(lutra: Lutra) -> None:
    answer = lutra.post("/enhance?format=png", PHOTO)
    assert answer.status_code == 200, answer.text
    after = np.asarray(opened(answer.content), int)
    assert after.shape == (48, 64, 3)
    assert np.abs(after - photo()).mean() > 1


def test_enhance_of_strength_zero_changes_nothing(lutra: Lutra) -> None:
    data = as_file(photo(), "PNG")
    answer = lutra.post("/enhance?strength=0", data)
    assert np.array_equal(np.asarray(opened(answer.content)), photo())


def test_enhance_gives_its_table_as_a_cube_file(lutra: Lutra) -> None:
    answer = lutra.post("/enhance?format=cube", PHOTO)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert "LUT_3D_SIZE 33" in lines
    assert sum(line[:1].isdigit() or line[:1] == "-" for line in lines) == 33**3


def test_a_form_with_a_part_named_file_is_read(lutra: Lutra) -> None:
    answer = lutra.client.post("/upscale?scale=2&model=bicubic", files={"file": ("zip.exe", PHOTO, "text/plain")})
    assert answer.status_code == 200
    assert opened(answer.content).size == (128, 96)


def test_the_content_type_is_not_believed(lutra: Lutra) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert lutra.post("/upscale?scale=2&model=nearest", PHOTO, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("width=100", (100, 75)),
        ("height=100", (133, 100)),
        ("width=200&height=100", (133, 100)),
        ("width=200&height=100&fit=fill", (200, 100)),
        ("max_pixels=10000", (115, 86)),
        ("scale=7/2", (224, 168)),
    ],
)
def test_the_size_can_be_asked_in_other_ways(lutra: Lutra, query: str, size: tuple[int, int]) -> None:
    answer = lutra.post(f"/upscale?{query}&model=bilinear", PHOTO)
    assert answer.status_code == 200, answer.text
    assert opened(answer.content).size == size


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("scale=nan", "nan"),
        ("scale=inf", "inf"),
        ("scale=0", "0"),
        ("scale=-1", "-1"),
        ("scale=1e9", "1e+09"),
        ("scale=9", "8"),
        ("scale=1", "1"),
        ("scale=", "scale"),
        ("", "scale"),
        ("scale=2&width=100", "width"),
        ("width=10", "10"),
        ("max_pixels=5", "5"),
        ("scale=2&fit=stretch", "fit"),
        ("scale=2&model=esrgan", "esrgan"),
        ("scale=2&model=lut3d", "lut3d"),
        ("scale=2&quality=0", "quality"),
        ("scale=2&quality=high", "quality"),
        ("scale=2&format=bmp", "format"),
        ("sclae=2", "sclae"),
        ("scale=2&strength=0.5", "strength"),
    ],
)
def test_a_bad_parameter_is_a_problem_that_says_what_was_seen(lutra: Lutra, query: str, word: str) -> None:
    before = lutra.samples("lutra_jobs_submitted_total")
    answer = lutra.post(f"/upscale?{query}", PHOTO)
    assert answer.status_code == 422
    assert lutra.samples("lutra_jobs_submitted_total") == before  # refused at the door
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "instance"} <= set(problem)
    assert word in problem["detail"]


@pytest.mark.parametrize("strength", ["nan", "-0.1", "1.1", "inf", "much"])
def test_a_strength_outside_0_to_1_is_refused(lutra: Lutra, strength: str) -> None:
    assert lutra.post(f"/enhance?strength={strength}", PHOTO).status_code == 422


@pytest.mark.parametrize("strength", ["nan", "inf", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    "path", ["/enhance?", "/restore?", "/upscale?scale=2&", "/upscale/estimate?of_width=9&of_height=9&"]
)
def test_a_number_that_is_not_finite_is_said_to_be_none(lutra: Lutra, path: str, strength: str) -> None:
    ask = lutra.client.get if "estimate" in path else lambda url: lutra.post(url, PHOTO)
    answer = ask(f"{path}strength={strength}")
    assert (answer.status_code, answer.json()["detail"]) == (422, "strength: Input should be a finite number")


def test_too_many_output_pixels_are_refused_by_arithmetic(lutra: Lutra) -> None:
    answer = lutra.post("/upscale?scale=8&model=nearest", as_file(photo(2000, 2000), quality=50))
    assert answer.status_code == 422
    assert answer.json()["limit"] == 200_000_000


def test_too_many_bytes_are_refused_while_reading(lutra: Lutra) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b"\xff" * 1024**2

    answers = [
        lutra.post("/enhance", b"x" * (8 * 1024**2 + 1)),
        lutra.client.post("/enhance", content=endless()),
        lutra.client.post("/enhance", files={"file": b"x" * (8 * 1024**2 + 1)}),
    ]
    assert [answer.status_code for answer in answers] == [413] * 3
    assert answers[0].json()["limit"] == 8 * 1024**2


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "multipart/form-data"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b""),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nhalf',
        ),
        (
            {"Content-Type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="other"\r\n\r\nx\r\n--b--\r\n',
        ),
        ({}, b""),
    ],
)
def test_a_broken_form_or_no_body_is_a_bad_request(lutra: Lutra, headers: dict[str, str], body: bytes) -> None:
    answer = lutra.post("/enhance", body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_accept_chooses_the_format(lutra: Lutra) -> None:
    answer = lutra.post("/upscale?scale=2&model=nearest", PHOTO, headers={"Accept": "image/webp,image/png;q=0.5"})
    assert answer.headers["content-type"] == "image/webp"
    assert "Accept" in answer.headers["vary"]
    answer = lutra.post("/upscale?scale=2&model=nearest", PHOTO, headers={"Accept": "text/html"})
    assert answer.status_code == 406


def test_a_sixteen_bit_picture_keeps_its_levels(lutra: Lutra) -> None:
    import cv2

    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64, 1).repeat(3, 2).astype(np.uint16)
    data = cv2.imencode(".png", ramp)[1].tobytes()
    answer = lutra.post("/upscale?scale=2&model=bicubic", data)
    picture = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None and picture.dtype == np.uint16
    assert len(np.unique(picture)) > 256


def test_the_request_id_is_echoed_and_a_new_one_is_made(lutra: Lutra) -> None:
    assert lutra.client.get("/livez", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = lutra.client.get("/livez", headers={"X-Request-ID": "no\tgood at all"}).headers["x-request-id"]
    assert len(made) == 32
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert lutra.client.get("/livez", headers={"traceparent": trace}).headers["x-request-id"] == trace.split("-")[1]


def test_what_is_not_there_is_a_problem_too(lutra: Lutra) -> None:
    for answer, status in ((lutra.client.get("/nothing"), 404), (lutra.client.get("/upscale"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["jpg", "JPEG", "tif", "WebP"])
def test_formats_are_known_by_their_other_names(lutra: Lutra, name: str) -> None:
    assert lutra.post(f"/enhance?format={name}", PHOTO).status_code == 200


@pytest.mark.parametrize(
    "asked, height, offered",
    [("jpeg", 60_000, ["png", "tiff"]), ("jpeg", 600_000, ["tiff"]), ("png", 600_000, ["tiff"])],
)
def test_a_result_too_tall_for_its_format_is_told_the_formats_that_hold_it(
    lutra: Lutra, asked: str, height: int, offered: list[str]
) -> None:
    tall = as_file(np.zeros((height, 1, 3), np.uint8), "PNG")
    answer = lutra.post(f"/upscale?scale=2&model=nearest&format={asked}", tall)
    assert answer.status_code == 422, answer.text[:200]
    advice = answer.json()["detail"].partition("; ask for ")[2]
    assert advice == " or ".join(f"format={name}" for name in offered)
