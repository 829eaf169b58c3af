"""A picture's short way to its endpoint: it answers as FastAPI's own way does, and takes nothing else."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from service.fast_path import FastPath
from tests.service.asgi import ASYNC, NEAREST, PHOTO, queued, running_app, succeed
from workers.jobs.store import Store

# Method, path, body, headers.
ASKED: list[tuple[str, str, bytes, dict[str, str]]] = [
    ("POST", "/upscale?scale=2&model=nearest&sharpness=9&x=1", PHOTO, {}),
    ("POST", "/upscale?scale=many", PHOTO, {}),
    ("POST", "/upscale?scale=2&model=nothing", PHOTO, {}),
    ("POST", "/upscale?scale=2", b"", {}),
    ("POST", "/upscale?scale=2", b"no picture", {}),
    ("POST", "/enhance?preset=none", PHOTO, {}),
    ("POST", "/enhance", PHOTO, {"Origin": "https://elsewhere.example"}),
    ("POST", "/enhance/", PHOTO, {}),
    ("POST", "/jobs/none", PHOTO, {}),
    ("PUT", "/enhance", PHOTO, {}),
    ("GET", "/enhance", b"", {}),
    ("GET", "/enhance/estimate?width=10&height=10", b"", {}),
    ("POST", NEAREST, PHOTO, {**ASYNC, "Idempotency-Key": "x" * 300}),
]
OWN = ("x-request-id", "instance", "date")


def told(answer: httpx.Response) -> tuple[int, dict[str, str], object]:
    """What it says, but for what is every answer's own."""
    headers = {name: value for name, value in answer.headers.items() if name not in OWN}
    body = answer.json() if "json" in answer.headers.get("content-type", "") else answer.content
    return answer.status_code, headers, {**body, "instance": ""} if isinstance(body, dict) else body


async def answers(redis_url: str) -> list[tuple[int, dict[str, str], object]]:
    async with running_app(redis_url, models=("nearest", "bicubic", "lut3d")) as here:
        asked = [
            await here.client.request(method, path, content=body, headers={"X-Request-ID": "one", **headers})
            for method, path, body, headers in ASKED
        ]
        return [told(answer) for answer in asked]


def test_both_ways_answer_alike(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    short = asyncio.run(answers(redis_url))
    monkeypatch.setattr(FastPath, "__call__", lambda self, scope, receive, send: self._app(scope, receive, send))
    long = asyncio.run(answers(redis_url))
    for asked, one, other in zip(ASKED, short, long, strict=True):
        assert one == other, asked
    assert {status for status, _, _ in short} >= {400, 403, 404, 405, 415, 422}


def test_a_picture_takes_the_short_way_and_is_counted_under_its_route(store: Store, redis_url: str) -> None:
    async def story() -> tuple[httpx.Response, str]:
        async with running_app(redis_url) as here:
            asked = asyncio.create_task(here.client.post(NEAREST, content=PHOTO))
            succeed(store, await queued(store))
            return await asked, (await here.client.get("/metrics")).text

    answer, metrics = asyncio.run(story())
    assert (answer.status_code, answer.content) == (200, b"better")
    assert 'http_requests_total{handler="/upscale",method="POST",status="200"}' in metrics
