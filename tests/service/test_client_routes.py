"""A client's own jobs and what they came to, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service.asgi import Here, running_app, succeed
from workers.jobs.store import Store


def within(redis_url: str, story: Callable[[Here], Awaitable[Any]]) -> None:
    async def told() -> None:
        async with asyncio.timeout(60), running_app(redis_url) as here:
            await story(here)

    asyncio.run(told())


def test_the_pages_of_a_clients_jobs_are_linked_to_each_other(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        jobs = [(await here.submit(store))[0] for _ in range(3)][::-1]
        first = await here.client.get("/jobs?limit=2")
        assert (first.status_code, [job["id"] for job in first.json()["jobs"]]) == (200, jobs[:2])
        assert first.links["next"]["url"] == f"/jobs?limit=2&cursor={first.json()['next']}"
        last = await here.client.get(first.links["next"]["url"])
        assert [job["id"] for job in last.json()["jobs"]] == jobs[2:]
        assert (last.json()["next"], "link" in last.headers) == (None, False)
        assert first.headers["cache-control"] == "no-store"
        assert (await here.client.head("/jobs")).status_code == 200

    within(redis_url, story)


def test_jobs_are_listed_as_they_are_told_one_by_one_and_by_state(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job, computation = await here.submit(store)
        waiting, _ = await here.submit(store)
        succeed(store, computation)
        (ended,) = (await here.client.get("/jobs?state=succeeded&limit=1")).json()["jobs"]
        assert ended == (await here.client.get(f"/jobs/{job}")).json()
        assert ended["expires_at"] > ended["finished_at"]
        (queued,) = (await here.client.get("/jobs?state=queued")).json()["jobs"]
        assert (queued["id"], queued["expires_at"]) == (waiting, None)

    within(redis_url, story)


def test_another_clients_jobs_and_usage_are_not_told(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(here: Here) -> None:
        _, computation = await here.submit(store)
        succeed(store, computation)
        monkeypatch.setattr("service.clients.neighbourhood", lambda host: "127.0.0.9")
        assert (await here.client.get("/jobs")).json() == {"jobs": [], "next": None}
        assert (await here.client.get("/usage")).json() == {"days": []}

    within(redis_url, story)


def test_without_keys_jobs_are_listed_to_no_address_that_others_may_share(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(here: Here) -> None:
        await here.submit(store)
        monkeypatch.setattr("service.clients.neighbourhood", lambda host: "192.0.2.1")
        answer = await here.client.get("/jobs")
        assert (answer.status_code, "by API key" in answer.json()["detail"]) == (403, True)
        assert (await here.client.get("/usage")).status_code == 200

    within(redis_url, story)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("state=done", "state"),
        ("cursor=x", "cursor"),
        ("page=2", "'page'"),
    ],
)
def test_what_cannot_be_asked_is_a_problem(store: Store, redis_url: str, query: str, told: str) -> None:
    async def story(here: Here) -> None:
        answer = await here.client.get(f"/jobs?{query}")
        assert (answer.status_code, told in answer.json()["detail"]) == (422, True)

    within(redis_url, story)


def test_usage_is_told_by_day_in_megapixels(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        for pixels in (2_000_000, 500_000):
            _, computation = await here.submit(store)
            succeed(store, computation, pixels=pixels)
        (day,) = (await here.client.get("/usage")).json()["days"]
        assert abs((datetime.now(UTC).date() - datetime.fromisoformat(day.pop("day")).date()).days) <= 1
        assert day == {"jobs": 2, "megapixels_in": 2 * 48 * 64 / 1e6, "megapixels_out": 2.5}

    within(redis_url, story)
