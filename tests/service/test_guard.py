"""What every request passes: an id in its answer and its logs, one line and one count, and a 500 that tells nothing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from prometheus_client import REGISTRY
from starlette.types import Message, Receive, Scope, Send

from service.guard import Guard
from tests.service.asgi import Exchange
from workers import log

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/guarded/{name}")
    async def hello(name: str) -> str:
        log.Log("service.test").info("said", name=name)
        return name

    @app.get("/failing")
    async def failing() -> None:
        raise ZeroDivisionError("a secret of ours")

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            raise ZeroDivisionError("a secret of ours")

        return StreamingResponse(pieces())

    app.add_middleware(Guard)
    return app


def ask(*paths: str, method: str = "GET", **headers: str) -> list[httpx.Response]:
    async def story() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=application())
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=transport, base_url="http://lutra", headers=named) as client:
            return [await client.request(method, path) for path in paths]

    return asyncio.run(story())


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def counted(handler: str, method: str, status: int) -> float:
    labels = {"handler": handler, "method": method, "status": str(status)}
    return REGISTRY.get_sample_value("http_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X_Request_ID": "mine-1"}, "mine-1"),
        ({"X_Request_ID": "a" * 128}, "a" * 128),
        ({"X_Request_ID": "a" * 129}, "[0-9a-f]{32}"),
        ({"X_Request_ID": "no good"}, "[0-9a-f]{32}"),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X_Request_ID": "mine"}, "mine"),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, "(?!0{32})[0-9a-f]{32}"),
        ({"traceparent": "nonsense"}, "[0-9a-f]{32}"),
        ({}, "[0-9a-f]{32}"),
    ],
)
def test_a_request_has_the_id_that_it_brought_or_a_new_one(headers: dict[str, str], expected: str) -> None:
    (answer,) = ask("/guarded/x", **headers)
    assert re.fullmatch(expected, answer.headers["x-request-id"])


def test_new_ids_differ() -> None:
    assert len({answer.headers["x-request-id"] for answer in ask(*["/guarded/x"] * 20)}) == 20


def test_one_line_tells_of_a_request_and_what_is_logged_within_carries_its_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("info", as_text=False)
    ask("/guarded/otter", X_Request_ID="mine-1")
    said, request = lines(capsys)
    assert (said["event"], said["request_id"]) == ("said", "mine-1")
    expected = {"event": "request", "request_id": "mine-1", "method": "GET", "path": "/guarded/otter", "status": 200}
    assert expected.items() <= request.items()


def test_what_is_asked_all_the_time_is_said_to_debuggers_alone(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", as_text=False)
    ask("/livez", "/readyz", "/metrics")
    assert lines(capsys) == []


def test_requests_are_counted_by_the_template_of_their_route_and_never_by_what_was_sent() -> None:
    before = [counted("/guarded/{name}", "GET", 200), counted("none", "GET", 404), counted("none", "other", 404)]
    ask("/guarded/a", "/guarded/b", "/nothing/here")
    ask("/nothing/here", method="BREW")
    after = [counted("/guarded/{name}", "GET", 200), counted("none", "GET", 404), counted("none", "other", 404)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 1, 1]


def test_what_nobody_foresaw_is_a_500_with_the_id_alone_and_a_traceback_in_the_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.configure("info", as_text=False)
    (answer,) = ask("/failing", X_Request_ID="mine-1")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        **{"type": "urn:lutra:problem:internal", "title": "Something went wrong on our side", "status": 500},
        "instance": "urn:lutra:request:mine-1",
    }
    failed, request = lines(capsys)
    assert "ZeroDivisionError: a secret of ours" in str(failed["traceback"])
    assert request["status"] == 500


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async def story() -> Exchange:
        answer = Exchange(application(), "/half")
        await answer.end()
        return answer

    answer = asyncio.run(story())
    assert (answer.status, answer.body, answer.begun) == (200, b"first", 1)


def test_who_leaves_before_any_answer_is_counted_as_gone() -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    async def story() -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            pytest.fail(f"{message} was sent")

        await Guard(silent)({"type": "http", "method": "GET", "path": "/x", "headers": []}, receive, send)

    before = counted("none", "GET", 499)
    asyncio.run(story())
    assert counted("none", "GET", 499) == before + 1
