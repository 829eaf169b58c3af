"""multipart/form-data as RFC 2046 and 7578 allow it, and as strangers send it."""

from __future__ import annotations

import random
import sys
from types import FrameType

import pytest

from service import forms
from service.forms import MAX_PARTS, MAX_STRAYS, Form, parse_form
from tests.living import Lutra, as_file, photo
from workers.errors import BadRequest

PHOTO = as_file(photo(16, 24))
FILE = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
TABLE = b"Content-Disposition: form-data; name=lut\r\n\r\n"
CHARSET = b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\nutf-8\r\n'
WHOLE = b"--b\r\n" + FILE + PHOTO + b"\r\n--b--\r\n"
ODD = {
    "plain": WHOLE,
    "preamble": b"This is a multi-part message in MIME format.\r\n" + WHOLE,
    "preamble of several lines": b"a\r\n\r\n-- b\r\n--c\r\n--\r\n" + WHOLE,
    "an empty line before": b"\r\n" + WHOLE,
    "preamble that looks like a boundary": b"--bad\r\n--b-\r\n--b- -\r\n--b x\r\n" + WHOLE,
    "epilogue": WHOLE + b"and more\r\n--b\r\nof no account",
    "nothing after the last boundary": WHOLE[:-2],
    "white space behind boundaries": b"--b \t \r\n" + FILE + PHOTO + b"\r\n--b--\t  \r\n",
    "white space and no line end": b"--b\t\r\n" + FILE + PHOTO + b"\r\n--b-- ",
    "_charset_ before": CHARSET + WHOLE,
    "_charset_ behind": b"--b\r\n" + FILE + PHOTO + b"\r\n" + CHARSET + b"--b--\r\n",
    "_charset_ twice": CHARSET + CHARSET + WHOLE,
    "header folded": b"--b\r\nContent-Disposition: form-data;\r\n name=file;\r\n\tfilename=a\r\n\r\n"
    + WHOLE[5 + len(FILE) :],
    "header in capitals": b"--b\r\nCONTENT-DISPOSITION:form-data;name=file\r\n\r\n" + WHOLE[5 + len(FILE) :],
}
BROKEN = {
    "empty": b"",
    "no boundary": b"x",
    "cut off in the data": b"--b\r\n" + FILE + PHOTO,
    "cut off in the head": b"--b\r\n" + FILE[:-2],
    "cut off behind a boundary": WHOLE[:-4],
    "boundary without a part": b"--b\r\n--b--\r\n",
    "line that is no header": b"--b\r\nnonsense\r\n\r\nx\r\n--b--\r\n",
    "head without end": b"--b\r\nX: " + b"a" * 100_000 + b"\r\n--b--\r\n",
    "padding without end": b"--b" + b" " * 100_000 + b"\r\n" + WHOLE[5:-9],
    "lines that only look like boundaries": b"\r\n--bx" * (MAX_STRAYS + 1) + b"\r\n" + WHOLE,
    "too many parts": (b"--b\r\n" + TABLE + b"\r\n") * (MAX_PARTS + 1) + WHOLE,
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_but_right_form_is_read(name: str) -> None:
    assert parse_form(ODD[name], b"b") == Form({"file": PHOTO})


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_form_is_a_bad_request(name: str) -> None:
    with pytest.raises(BadRequest):
        parse_form(BROKEN[name], b"b")


@pytest.mark.parametrize("boundary", [b"", b"b" * 1000])
def test_a_boundary_that_cannot_be_is_refused(boundary: bytes) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        parse_form(WHOLE, boundary)


def test_parts_keep_their_bytes_whatever_stands_in_them() -> None:
    data = b"\r\n--\r\n--c\r\n--bb\r\n--b-\r\n\r\n--b x\r\n-\r\n" + bytes(range(256))
    body = b"--b\r\n" + FILE + data + b"\r\n--b\r\n" + TABLE + b"\r\n--b\r\n" + TABLE + b"second\r\n--b--\r\n"
    assert parse_form(body, b"b") == Form({"file": data, "lut": b""}, ["lut"])
    assert parse_form(b"--b\r\n\r\nx\r\n--b--", b"b") == Form({"": b"x"})


def test_what_was_written_is_read_for_any_data_and_any_width_of_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    pieces = [b"\r\n", b"--", b"-", b"b", b"--b", b"\r", b"\n", b"x", b" ", b"\r\n--b", b"\0"]
    for _ in range(3000):
        monkeypatch.setattr(forms, "FIND_BYTES", rng.choice([1, 2, 3, 7, 1000]))
        data = b"".join(rng.choices(pieces, k=rng.randrange(12)))
        boundary = rng.choice([b"bx", b"b'()+_,-./:=?", b"--", b"b" * 70])
        if b"--" + boundary in data:
            continue
        body = b"--%s\r\n%s%s\r\n--%s--\r\n" % (boundary, FILE, data, boundary)
        assert parse_form(body, boundary) == Form({"file": data})


@pytest.mark.parametrize(
    ("head", "miss", "boundary"), [(b"--b\r\n" + FILE, b"\r\n--b-", b"b"), (b"", b"\r\n--", b"-" * 70)]
)
def test_a_large_form_of_near_misses_is_given_up_and_searched_in_pieces(
    head: bytes, miss: bytes, boundary: bytes
) -> None:
    """Ten million of them: neither is each looked at, nor all of them without a pause for others."""
    body, calls = head + miss * 10_000_000, 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        with pytest.raises(BadRequest):
            parse_form(body, boundary)
    finally:
        sys.setprofile(None)
    assert 40 < calls < 20_000


@pytest.mark.parametrize("name", ODD)
def test_the_service_takes_an_odd_form(lutra: Lutra, name: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = lutra.post("/upscale?scale=2&model=nearest", ODD[name], headers=headers)
    assert answer.status_code == 200, answer.text
