"""The application as a whole: HTTP's own problems as ours, origins that may ask, what is opened and closed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from importlib.metadata import version

import httpx
import pytest
from prometheus_client import REGISTRY

from tests.living import free_port
from tests.service.asgi import NEAREST, PHOTO, Here, running_app
from workers.jobs.store import Store

ASYNC = {"Prefer": "respond-async"}


def run(redis_url: str, story: Callable[[Here], Awaitable[None]], **settings: object) -> None:
    async def whole() -> None:
        async with running_app(redis_url, **settings) as here:
            await story(here)

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("method", "path", "status", "title", "detail"),
    [
        ("GET", "/no thing", 404, "Not Found", "nothing is at /no%20thing; openapi.json tells what there is"),
        ("POST", "/livez", 405, "Method Not Allowed", "/livez does not take POST; it takes GET, HEAD"),
    ],
)
def test_what_http_itself_refuses_is_a_problem_of_its_request(
    store: Store, redis_url: str, method: str, path: str, status: int, title: str, detail: str
) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.request(method, path, headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json() == {
            **{"type": "about:blank", "title": title, "status": status},
            **{"detail": detail, "instance": "urn:lutra:request:mine"},
        }
        assert answer.headers.get("allow") == ("GET, HEAD" if status == 405 else None)

    run(redis_url, story)


def test_a_parameter_that_cannot_be_is_told_with_what_was_seen(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.post("/upscale?scale=2&quality=high&fit=stretch", content=PHOTO)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:lutra:problem:bad-parameter")
        seen = {fault["parameter"]: fault["input"] for fault in answer.json()["errors"]}
        assert seen == {"quality": "high", "fit": "stretch"}

    run(redis_url, story)


def test_a_problem_of_a_job_names_the_job(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get("/jobs/none/result")).json()["instance"] == "/jobs/none/result"
        odd = await here.client.get("/jobs/q%C3%9E%01;%20/result")
        assert odd.json()["instance"] == "/jobs/q%C3%9E%01%3B%20/result"  # an address, whatever was asked for

    run(redis_url, story)


def test_who_is_refused_for_now_is_told_when_to_come_back(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        await here.submit(store)
        answer = await here.client.post(NEAREST, content=PHOTO + b"x", headers={"Prefer": "respond-async"})
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:lutra:problem:queue-full")
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["cache-control"] == "no-store"

    run(redis_url, story, queue_size=1)


def test_one_address_leaves_room_for_others_and_is_told_so(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        for number in range(4):
            answer = await here.client.post(NEAREST, content=PHOTO + bytes([number]), headers=ASYNC)
            assert (answer.status_code, answer.json()["lane"]) == (202, "express")
            assert answer.json()["queue_position"] == number + 1
        refused = await here.client.post(NEAREST, content=PHOTO + b"x", headers=ASYNC)
        told = refused.json()
        assert (refused.status_code, told["type"]) == (429, "urn:lutra:problem:share-reached")
        assert (told["limit"], told["unit"], told["lane"]) == (4, "jobs", "express")
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-policy"] == '"share";q=4;qu="jobs"'
        transport = httpx.ASGITransport(app=here.app, client=("192.0.2.7", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://lutra") as other:
            assert (await other.post(NEAREST, content=PHOTO, headers=ASYNC)).status_code == 202

    run(redis_url, story, queue_size=5)


def test_only_pages_of_the_origins_that_are_set_may_ask(store: Store, redis_url: str) -> None:
    asked = {"Origin": "https://photos.example", "Access-Control-Request-Method": "POST"}

    async def allowed(here: Here) -> None:
        answer = await here.client.options("/upscale", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://photos.example"
        shown = (await here.client.get("/livez", headers=asked)).headers["access-control-expose-headers"]
        assert {"Location", "X-Job-Id", "ETag"} <= set(shown.split(", "))
        other = await here.client.options("/upscale", headers={**asked, "Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers

    async def nobody(here: Here) -> None:
        assert "access-control-allow-origin" not in (await here.client.get("/livez", headers=asked)).headers

    run(redis_url, allowed, cors_origins=("https://photos.example",))
    run(redis_url, nobody)


def test_the_version_is_told_in_the_document_and_as_a_metric(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get("/openapi.json")).json()["info"]["version"] == version("lutra")

    run(redis_url, story, revision="abc123")
    labels = {"version": version("lutra"), "revision": "abc123"}
    assert REGISTRY.get_sample_value("lutra_build_info", labels) == 1


def test_it_starts_and_lives_without_a_redis_and_says_what_it_cannot_do() -> None:
    async def story(here: Here) -> None:
        assert (await here.client.get("/livez")).status_code == 200
        assert (await here.client.get("/models")).status_code == 200
        assert (await here.client.get("/metrics")).status_code == 200
        ready = await here.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        answer = await here.client.post(NEAREST, content=PHOTO)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:lutra:problem:store-unavailable")

    run(f"redis://127.0.0.1:{free_port()}/0", story)


def test_what_was_opened_is_closed(store: Store, redis_url: str) -> None:
    before = len(store.client.client_list())

    async def story(here: Here) -> None:
        await here.submit(store)
        assert any(thread.name.startswith("store") for thread in threading.enumerate())
        assert len(store.client.client_list()) > before

    run(redis_url, story)
    assert len(store.client.client_list()) == before
