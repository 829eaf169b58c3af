"""How bodies come in: too large, too slow, too many, as curl makes them of a file; shares, and what is given back."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from service import upload
from service.upload import Budget, read_upload
from tests.living import Lutra, as_file, photo, wait_until
from tests.service.gateway import Gateway, ends, read_answer, running_gateway, send
from workers.errors import TooManyUploads, UploadTooSlow

MIB = 1024**2
LIMIT = MIB
GRACE_S, LINGER_SILENCE_S = 4.0, 2.0  # instead of what a client really has
HURRY = {"upload.GRACE_S": GRACE_S, "connections.LINGER_SILENCE_S": LINGER_SILENCE_S}
EXPECT = b"POST /enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
UNFINISHED = b"POST /enhance HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    limits: dict[str, Any] = {"LUTRA_MAX_UPLOAD_BYTES": str(LIMIT), "LUTRA_STORE_BYTES": "1"}
    with running_gateway(tmp_path_factory.mktemp("gateway"), **limits) as running:
        yield running


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(
        tmp_path_factory.mktemp("hurried"), hurry=HURRY, LUTRA_MAX_UPLOAD_BYTES=str(LIMIT), LUTRA_STORE_BYTES="1"
    ) as running:
        yield running


# ---- Too large -------------------------------------------------------------------------------------------------------


def test_a_client_that_asks_first_is_told_413_and_nothing_else(gateway: Gateway) -> None:
    with gateway.connect() as line:
        send(line, EXPECT % (60 * MIB))
        answer = read_answer(line)
        assert answer is not None and answer.status == 413
        assert answer.problem["limit"] == LIMIT
        assert answer.headers["connection"] == "close"


def test_a_client_that_asks_first_may_go_on_below_the_limit(gateway: Gateway) -> None:
    with gateway.connect() as line:
        send(line, EXPECT % 1000)
        assert line.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        send(line, b"x" * 1000)
        answer = read_answer(line)
        assert answer is not None and answer.status == 415


def pieces(size_bytes: int) -> Iterator[bytes]:
    for _ in range(size_bytes // 65536):
        yield b"x" * 65536


@pytest.mark.parametrize("size_bytes", [2 * MIB, 60 * MIB, pytest.param(400 * MIB, marks=pytest.mark.slow)])
def test_clients_that_send_all_the_same_read_the_413(gateway: Gateway, size_bytes: int, tmp_path: Path) -> None:
    by_length = httpx.post(f"{gateway.url}/enhance", content=b"x" * size_bytes, timeout=60)
    assert (by_length.status_code, by_length.json()["limit"]) == (413, LIMIT)
    in_chunks = httpx.post(f"{gateway.url}/enhance", content=pieces(size_bytes), timeout=60)
    assert (in_chunks.status_code, in_chunks.json()["limit"]) == (413, LIMIT)
    line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    try:
        line.request("POST", "/enhance", b"x" * size_bytes)
    except BrokenPipeError:  # as urllib3 does: what was sent back can still be read
        line._HTTPConnection__state = "Request-sent"  # type: ignore[attr-defined]
    assert line.getresponse().status == 413
    line.close()
    if shutil.which("curl"):
        big = tmp_path / "big"
        big.write_bytes(b"x" * size_bytes)
        for extra in ([], ["-H", "Expect:"], ["-H", "Transfer-Encoding: chunked"], ["-F", f"file=@{big}"]):
            body = [] if "-F" in extra else ["--data-binary", f"@{big}"]
            command = ["curl", "-s", "-w", "%{http_code}", "-o", "-", *extra, *body, f"{gateway.url}/enhance"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.stdout.endswith("413"), (extra, done)


def test_a_client_on_a_slow_line_that_reads_when_it_has_sent_all_reads_the_413(hurried: Gateway) -> None:
    with hurried.connect() as line:
        send(line, UNFINISHED % (2 * MIB))
        for _ in range(32):  # for longer than a silent one is waited for
            assert send(line, b"x" * 65536)
            time.sleep(LINGER_SILENCE_S / 20)
        answer = read_answer(line)
        assert answer is not None and answer.status == 413


def test_what_content_length_says_below_the_limit_is_not_trusted(gateway: Gateway) -> None:
    answer = httpx.post(f"{gateway.url}/enhance", content=pieces(LIMIT + 65536), timeout=60)
    assert answer.status_code == 413
    answer = httpx.post(f"{gateway.url}/enhance", content=pieces(LIMIT), timeout=60)
    assert answer.status_code == 415


# ---- Too slow --------------------------------------------------------------------------------------------------------


def read_paced(steps: Sequence[tuple[float, int]], min_rate: int, taken: list[int] | None = None) -> int:
    """The size of an upload whose pieces of so many bytes come after so many seconds each; `taken`: those sent."""

    async def receive_all() -> AsyncIterator[dict[str, Any]]:
        for seconds, size in steps:
            await asyncio.sleep(seconds)
            if taken is not None:
                taken.append(size)
            yield {"type": "http.request", "body": b"x" * size, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    async def read() -> int:
        messages = receive_all()
        request = Request({"type": "http", "method": "POST", "headers": []}, messages.__anext__)
        with Budget(10**9).hold() as hold:
            return len((await read_upload(request, 10**6, hold, min_rate=min_rate)).picture)

    return asyncio.run(read())


def test_who_keeps_the_rate_may_take_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "GRACE_S", 1.0)
    assert read_paced([(0.1, 400)] * 40, min_rate=1000) == 16_000  # four times the grace
    assert read_paced([(0.5, 10_000), (0.7, 10_000), (0.7, 100)], min_rate=1000) == 20_100


def test_who_falls_below_the_rate_is_refused_however_fast_the_beginning_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "GRACE_S", 1.0)
    slow: list[tuple[list[tuple[float, int]], int]] = [
        ([(5, 1)], 0),
        ([(0, 900_000), (5, 1)], 1),
        ([(0, 900_000), *[(0.2, 20)] * 50], 20),
        ([(0.2, 100)] * 50, 20),
    ]
    for steps, at_most in slow:
        taken: list[int] = []
        with pytest.raises(UploadTooSlow) as refused:
            read_paced(steps, min_rate=1000, taken=taken)
        assert refused.value.members == {"limit": 1000}
        assert len(taken) <= at_most


def test_an_upload_that_stops_is_answered_408_and_a_steady_slow_one_goes_on(hurried: Gateway) -> None:
    stopped, slow = hurried.connect(), hurried.connect()
    send(stopped, UNFINISHED % 500_000, b"x" * 400_000)
    send(slow, UNFINISHED % 80_000)
    for _ in range(40):
        send(slow, b"x" * 2000)
        time.sleep(GRACE_S / 20)
    told, answered = read_answer(stopped), read_answer(slow)
    assert told is not None and told.status == 408
    assert told.problem["type"] == "urn:lutra:problem:upload-too-slow"
    assert ends(stopped, 60)
    assert answered is not None and answered.status == 415
    stopped.close()
    slow.close()


# ---- Too many --------------------------------------------------------------------------------------------------------


def test_an_address_may_hold_as_much_as_is_left_for_others() -> None:
    budget = Budget(1000)
    with budget.hold("192.0.2.1") as first, budget.hold("192.0.2.1") as second, budget.hold("192.0.2.2") as other:
        first.add(300)
        second.add(200)
        with pytest.raises(TooManyUploads):
            second.add(1)
        other.add(250)
        with pytest.raises(TooManyUploads):
            other.add(1)
        with budget.hold("192.0.2.3") as third:
            third.add(125)
        with budget.hold("192.0.2.3") as third:
            third.add(125)
    with budget.hold("192.0.2.1") as again:
        again.add(500)


def test_unfinished_uploads_of_one_address_leave_room_for_others_and_give_back_at_once(tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "LUTRA_MAX_UPLOAD_BYTES": str(40 * MIB),
        "LUTRA_STORE_BYTES": "1",
    }  # so the budget is twice 140 MiB
    with running_gateway(tmp_path, **limits) as gateway:

        def kind(source: str, size_bytes: int = 30 * MIB) -> str:
            with httpx.Client(transport=httpx.HTTPTransport(local_address=source), timeout=60) as client:
                told: str = client.post(f"{gateway.url}/enhance", content=b"x" * size_bytes).json()["type"]
                return told.rpartition(":")[2]

        strangers = [gateway.connect("127.0.0.2") for _ in range(8)]
        for line in strangers:
            send(line, UNFINISHED % (40 * MIB), b"x" * (39 * MIB))
        assert kind("127.0.0.2") == "too-many-uploads"
        assert kind("127.0.0.1") == "not-a-picture"
        assert kind("127.0.0.3") == "not-a-picture"
        for line in strangers:
            line.close()
        wait_until(lambda: kind("127.0.0.2", 39 * MIB) == "not-a-picture", 10, "the share is given back")


# ---- What curl makes of a file ---------------------------------------------------------------------------------------


def test_what_curl_cannot_have_altered_brings_no_hint(lutra: Lutra) -> None:
    whole = as_file(photo(200, 300), "PNG")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (whole[: len(whole) // 2], b"a text\nof two lines", b"GIF8\r\n" + whole):
        answer = lutra.post("/enhance", body, headers=headers)
        assert answer.status_code in (415, 422), answer.text[:200]
        assert "--data-binary" not in answer.text


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_that_curl_has_altered_brings_a_hint(lutra: Lutra, kind: str, tmp_path: Path) -> None:
    whole = as_file(photo(200, 300), kind)
    stripped = whole.translate(None, b"\r\n\0"), whole.translate(None, b"\r\n")  # newer and older ones
    bodies = [*stripped, b"file=" + whole, b"file=@photo.jpg", b"file=%FF%D8%FF%E0"]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in bodies:
        answer = lutra.post("/upscale?scale=2&model=nearest", body, headers=headers)
        assert answer.status_code in (415, 422), answer.text[:200]
        assert "--data-binary" in answer.json()["detail"]
        other = lutra.post("/upscale?scale=2&model=nearest", body, headers={"Content-Type": "image/jpeg"})
        assert other.status_code == answer.status_code
        assert "--data-binary" not in other.text
    assert lutra.post("/upscale?scale=2&model=nearest", whole, headers=headers).status_code == 200
    if shutil.which("curl"):
        (tmp_path / "picture").write_bytes(whole)
        url = f"http://127.0.0.1:{lutra.port}/upscale?scale=2&model=nearest"
        for option, code in (("-d", "4"), ("--data-urlencode", "4"), ("--data-binary", "200")):
            command = ["curl", "-s", "-w", "%{http_code}", "-o", "-", option, f"@{tmp_path / 'picture'}", url]
            told = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
            assert told[-3:].decode().startswith(code)
            assert (b"--data-binary" in told) == (code == "4")
