"""Every hostile and every odd file through the running service: the right problem within a second, and it lives on."""

from __future__ import annotations

import threading

import httpx
import pytest

from service import problems
from tests.attacks import files
from tests.living import Lutra, as_file, opened, photo
from workers.errors import error_class

HOSTILE = files.hostile()
GOOD = files.good()
HANG_S = 10  # a second on a quiet machine; here only a hang is to be seen
SMALL = as_file(photo(16, 16))


@pytest.fixture(autouse=True)
def still_serves(lutra: Lutra):  # type: ignore[no-untyped-def]
    """After each attack the same worker children live, and one answers the next request."""
    before = lutra.children()
    yield
    assert lutra.post("/upscale?scale=2&model=nearest", SMALL).status_code == 200
    assert {*before} <= {*lutra.children()}  # the second may still have been loading


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_the_right_problem(lutra: Lutra, name: str) -> None:
    hostile = HOSTILE[name]
    answer = lutra.post("/upscale?scale=2&model=nearest", hostile.data)
    if not hostile.data:
        assert answer.status_code == 400
        return
    allowed = {problems.status_and_title(error_class(code))[0] for code in hostile.codes}
    assert answer.status_code in allowed, answer.text
    assert answer.json()["type"] in {problems.type_of(code) for code in hostile.codes}
    assert answer.elapsed.total_seconds() < HANG_S


@pytest.mark.parametrize("name", GOOD)
def test_an_odd_but_good_file_is_served(lutra: Lutra, name: str) -> None:
    answer = lutra.post("/upscale?scale=2&model=nearest&format=png", GOOD[name])
    assert answer.status_code == 200, answer.text
    opened(answer.content)


@pytest.mark.parametrize("name", ["1x1", "20000x1", "1x20000"])
def test_thin_pictures_go_through_the_networks_too(lutra: Lutra, name: str) -> None:
    assert lutra.post("/enhance", GOOD[name]).status_code == 200
    if name == "1x1":
        assert lutra.post("/upscale?scale=3.7&model=liif", GOOD[name]).status_code == 200


def test_many_bombs_at_once_leave_the_service_alive(lutra: Lutra) -> None:
    bombs = [hostile.data for hostile in HOSTILE.values() if "too_many_pixels" in hostile.codes] * 4
    answers: list[int] = []

    def post(data: bytes) -> None:
        answers.append(httpx.post(f"http://127.0.0.1:{lutra.port}/enhance", content=data, timeout=60).status_code)

    threads = [threading.Thread(target=post, args=(bomb,)) for bomb in bombs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {422}
