"""Hostile .cube files through the running service: a short problem each, and it lives on."""

from __future__ import annotations

import threading
import zlib

import httpx
import pytest

from models.cube import write_cube
from tests.attacks.test_http_attacks import SMALL, still_serves  # noqa: F401
from tests.living import Lutra

ROWS = "0 0 0\n1 1 1\n"
CURVES = "LUT_1D_SIZE 2\n" + ROWS
MIB = 1024**2

HOSTILE = {
    "nothing": b"",
    "a picture": SMALL,
    "zeros": bytes(MIB),
    "compressed": zlib.compress(CURVES.encode()),
    "another alphabet": CURVES.encode("utf-16"),
    "a table of 10^27 nodes": b"LUT_3D_SIZE 1000000000\n" + ROWS.encode(),
    "a size of a megabyte": b"LUT_3D_SIZE " + b"9" * MIB + b"\n",
    "129 nodes promised, one row there": b"LUT_3D_SIZE 129\n0 0 0\n",
    "129 nodes and twice 65,536": b"LUT_3D_SIZE 129\nLUT_1D_SIZE 65536\n" + ROWS.encode() * 65_536,
    "comments without end": b"#\n" * (8 * MIB),
    "comments without end after the first row": b"LUT_1D_SIZE 2\n0 0 0\n" + b"#\n" * (8 * MIB),
    "empty lines without end": b"LUT_1D_SIZE 2\n0 0 0\n" + b"\n" * (16 * MIB),
    "one line without end": b"LUT_1D_SIZE 2\n" + b"0 " * (8 * MIB),
    "one number without end": b"LUT_1D_SIZE 2\n" + b"1" * (16 * MIB),
    "a comment without end": b"#" * (16 * MIB),
    "a title without end": b'TITLE "' + b"x" * (16 * MIB),
    "spaces without end": b"LUT_1D_SIZE 2\n" + b" " * (16 * MIB),
    "returns without end": b"\r" * (16 * MIB),
    "an exponent": CURVES.replace("1 1 1", "1e309 0 0").encode(),
    "an exponent of a hundred digits": CURVES.replace("1 1 1", "1e" + "9" * 100 + " 0 0").encode(),
    "not a number": CURVES.replace("1 1 1", "1 nan 1").encode(),
    "keywords again and again": b"DOMAIN_MIN 0 0 0\n" * 10_000 + CURVES.encode(),
    "a title of control characters": b'TITLE "\x1b[2J\x00\x07"\n' + CURVES.encode(),
}
GOOD = {
    "the steepest table": "LUT_3D_SIZE 2\n" + "-1e30 1e30 -1e30\n1e30 -1e30 1e30\n" * 4,
    "the narrowest domain": f"DOMAIN_MIN 0.5 0.5 0.5\nDOMAIN_MAX 0.5000000000000001 0.5000000001 1e30\n{CURVES}",
    "the smallest numbers": CURVES.replace("1 1 1", "5e-324 1e-400 -1e-45"),
    "a title of control characters": 'TITLE "\x1b[2J\x07é"\n' + CURVES,
}


def send(lutra: Lutra, cube: bytes | str, query: str = "") -> httpx.Response:
    return lutra.client.post(f"/enhance{query}", files={"file": ("a.png", SMALL), "lut": ("a.cube", cube)})


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_table_is_refused_with_a_short_problem(lutra: Lutra, name: str) -> None:
    answer = send(lutra, HOSTILE[name])
    assert answer.status_code == 422, answer.text[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 1000
    assert answer.json()["detail"].isprintable()


@pytest.mark.parametrize("query", ["", "?strength=0.5"])
@pytest.mark.parametrize("name", GOOD)
def test_an_odd_but_good_table_is_applied(lutra: Lutra, name: str, query: str) -> None:
    assert send(lutra, GOOD[name], query).status_code == 200


def test_while_the_largest_tables_are_read_others_are_answered(lutra: Lutra) -> None:
    import torch

    largest = write_cube(torch.rand(3, 65, 65, 65, generator=torch.Generator().manual_seed(0)), "large").encode()
    answers: list[int] = []

    def post() -> None:
        files = {"file": ("a.png", SMALL), "lut": ("a.cube", largest)}
        answers.append(httpx.post(f"http://127.0.0.1:{lutra.port}/enhance", files=files, timeout=60).status_code)

    threads = [threading.Thread(target=post) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert lutra.client.get("/livez").status_code == 200
        threads[0].join(0.05)
    for thread in threads:
        thread.join()
    assert answers == [200] * 3
