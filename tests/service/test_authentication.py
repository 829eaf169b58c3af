"""Who may ask where keys are kept: a key that is known, whose own jobs are all it sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from service import waiting
from service.keys import add_key
from tests.service.asgi import ASYNC, NEAREST, PHOTO, Exchange, Here, eventually, running_app, succeed
from tests.workers.stored import queued_ids
from workers.jobs.store import Store

OPEN = ["/livez", "/readyz", "/docs", "/openapi.json", "/", "/metrics"]
CLOSED = ["/models", "/jobs/x", "/jobs/x/result", "/jobs/x/events"]


@dataclass
class Keyed:
    """A service that keeps keys, those of two clients among them."""

    here: Here
    ours: dict[str, str]
    theirs: dict[str, str]

    async def job(self, store: Store) -> str:
        """The path of a job of ours that has succeeded."""
        answer = await self.here.client.post(NEAREST, content=PHOTO, headers={**ASYNC, **self.ours})
        assert answer.status_code == 202, answer.text
        succeed(store, store.status(answer.json()["id"]).computation_id)
        return str(answer.headers["location"])


def jobs_of(store: Store) -> list[bytes]:
    """The keys of the records of jobs."""
    return cast("list[bytes]", store.client.keys("lutra:job:*"))


def keyed(redis_url: str, folder: Path, story: Callable[[Keyed], Awaitable[None]], **settings: object) -> None:
    path = folder / "keys.jsonl"
    ours, theirs = ({"Authorization": f"Bearer {add_key(path, name)}"} for name in ("ours", "theirs"))

    async def whole() -> None:
        async with running_app(redis_url, api_keys_file=path, **settings) as here:
            await story(Keyed(here, ours, theirs))

    asyncio.run(whole())


def test_a_key_that_is_taken_back_ends_its_streams_and_its_job_goes_on(
    store: Store, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told at once, and do not find out in passing: nothing else stirs them or looks."""
    for name in ("SWEEP_S", "QUIET_S"):
        monkeypatch.setattr(waiting, name, 3600.0)

    async def story(keyed: Keyed) -> None:
        app, client = keyed.here.app, keyed.here.client
        paths = []
        for key in (keyed.ours, keyed.theirs):
            answer = await client.post(NEAREST, content=PHOTO, headers={**ASYNC, **key})
            paths.append(answer.headers["location"] + "/events")
        ours, theirs = (
            Exchange(app, path, authorization=key["Authorization"])
            for path, key in zip(paths, (keyed.ours, keyed.theirs), strict=True)
        )
        for stream in (ours, theirs):
            await stream.until(b'"queued"')
        file = tmp_path / "keys.jsonl"
        file.write_text(file.read_text().splitlines()[1] + "\n")
        await ours.end()
        last = ours.body.decode().split("\n\n")[-2].splitlines()
        problem = json.loads(last[1].removeprefix("data: "))
        assert last[0] == "event: revoked" and len(last) == 2
        assert (problem["type"], problem["status"]) == ("urn:lutra:problem:key-needed", 401)
        assert problem["instance"] + "/events" == paths[0]
        assert (await client.get(paths[0], headers=keyed.ours)).status_code == 401
        assert not theirs.task.done() and b"revoked" not in theirs.body
        assert len(queued_ids(store)) == 2
        theirs.leave()
        await theirs.end()

    keyed(redis_url, tmp_path, story)


def test_without_a_key_only_health_documents_and_the_page_are_there(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    async def story(keyed: Keyed) -> None:
        client = keyed.here.client
        assert [(await client.get(path)).status_code for path in OPEN] == [200] * len(OPEN)
        answers = [await client.get(path) for path in CLOSED] + [await client.head(path) for path in CLOSED]
        answers += [await client.post(NEAREST, content=PHOTO), await client.delete("/jobs/x")]
        for answer in answers:
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
        assert answers[0].json()["type"] == "urn:lutra:problem:key-needed"

    keyed(redis_url, tmp_path, story)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer {}"}, 200),
        ({"Authorization": "bearer {}"}, 200),
        ({"X-API-Key": "{}"}, 200),
        ({"Authorization": "Basic dTpw", "X-API-Key": "{}"}, 200),
        ({"Authorization": "Bearer {}0"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": "{}"}, 401),
        ({"Authorization": "Basic {}"}, 401),
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "é"}, 401),
        ({"Cookie": "key={}"}, 401),
    ],
)
def test_a_key_comes_in_either_header(
    store: Store, redis_url: str, tmp_path: Path, headers: dict[str, str], status: int
) -> None:
    async def story(keyed: Keyed) -> None:
        key = keyed.ours["Authorization"].removeprefix("Bearer ")
        sent = [(name.encode(), value.format(key).encode()) for name, value in headers.items()]
        assert (await keyed.here.client.get("/models", headers=sent)).status_code == status

    keyed(redis_url, tmp_path, story)


def test_who_has_no_key_is_refused_before_anything_of_a_body_is_read(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield PHOTO

    async def story(keyed: Keyed) -> None:
        for path in (NEAREST, "/upscale?scale=nonsense", "/upscale?unknown=1"):
            assert (await keyed.here.client.post(path, content=body())).status_code == 401
        assert read == 0
        wrong = await keyed.here.client.post("/upscale?unknown=1", content=body(), headers=keyed.ours)
        assert wrong.status_code == 422

    keyed(redis_url, tmp_path, story)


def test_another_clients_job_is_as_if_it_had_never_been(store: Store, redis_url: str, tmp_path: Path) -> None:
    async def story(keyed: Keyed) -> None:
        client, path = keyed.here.client, await keyed.job(store)

        async def seen(who: dict[str, str]) -> list[tuple[int, Any]]:
            places = [path, f"{path}/result", f"{path}/events"]
            answers = [await client.request(way, one, headers=who) for one in places for way in ("GET", "HEAD")]
            return [(answer.status_code, answer.headers["content-type"]) for answer in answers]

        missing = [(404, "application/problem+json")] * 6
        assert await seen(keyed.theirs) == missing
        assert (await client.delete(path, headers=keyed.theirs)).status_code == 404
        other = (await client.get(path, headers=keyed.theirs)).json()
        never = (await client.get("/jobs/never", headers=keyed.theirs)).json()
        assert {**other, "instance": ""} == {**never, "instance": ""}
        assert [status for status, _ in await seen(keyed.ours)] == [200] * 6

        assert (await client.delete(path, headers=keyed.ours)).status_code == 200
        assert [status for status, _ in await seen(keyed.ours)] == [410] * 6
        assert await seen(keyed.theirs) == missing  # nor does its tombstone tell of it

    keyed(redis_url, tmp_path, story)


def test_another_client_does_not_keep_a_job_alive_by_asking_for_it(
    store: Store, redis_url: str, tmp_path: Path
) -> None:
    async def story(keyed: Keyed) -> None:
        waiting = asyncio.ensure_future(keyed.here.client.post(NEAREST, content=PHOTO, headers=keyed.ours))
        await eventually(lambda: bool(jobs_of(store)), "the job is there")
        jobs = jobs_of(store)
        path = f"/jobs/{jobs[0].decode().rpartition(':')[2]}"
        assert (await keyed.here.client.get(path, headers=keyed.theirs)).status_code == 404
        assert store.client.hget(jobs[0], "detached") == b"0"
        assert (await keyed.here.client.get(path, headers=keyed.ours)).status_code == 200
        assert store.client.hget(jobs[0], "detached") == b"1"
        waiting.cancel()

    keyed(redis_url, tmp_path, story)


def test_without_keys_a_job_is_everybodys(store: Store, redis_url: str) -> None:
    async def story() -> None:
        async with running_app(redis_url) as here:
            job, _ = await here.submit(store)
            store.client.hset(f"lutra:job:{job}", "client", "at:192.0.2.7")
            assert (await here.client.get(f"/jobs/{job}")).status_code == 200

    asyncio.run(story())


@pytest.mark.parametrize("keys", [True, False])
def test_metrics_need_the_key_of_their_own_where_one_is_set(
    store: Store, redis_url: str, tmp_path: Path, keys: bool
) -> None:
    path = tmp_path / "keys.jsonl"
    key = add_key(path, "ours")

    async def story() -> None:
        settings = {"api_keys_file": path} if keys else {}
        async with running_app(redis_url, metrics_key="scrape", **settings) as here:
            asked = [{}, {"X-API-Key": key}, {"X-API-Key": "scrap"}, {"Authorization": "Bearer scrape"}]
            answers = [await here.client.get("/metrics", headers=headers) for headers in asked]
            assert [answer.status_code for answer in answers] == [401, 401, 401, 200]
            assert answers[0].headers["www-authenticate"] == "Bearer"
            if keys:
                with_it = await here.client.get("/models", headers={"X-API-Key": "scrape"})
                assert with_it.status_code == 401  # it opens nothing else

    asyncio.run(story())


def test_the_document_names_both_ways_for_just_what_needs_a_key(store: Store, redis_url: str) -> None:
    async def story() -> None:
        async with running_app(redis_url) as here:
            document = (await here.client.get("/openapi.json")).json()
            schemes = document["components"]["securitySchemes"]
            assert schemes["BearerAuth"]["scheme"] == "bearer"
            assert (schemes["ApiKeyAuth"]["in"], schemes["ApiKeyAuth"]["name"]) == ("header", "X-API-Key")
            either: list[dict[str, list[str]]] = [{"BearerAuth": []}, {"ApiKeyAuth": []}]
            for path, methods in document["paths"].items():
                for operation in methods.values():
                    wanted = None if path in ("/livez", "/readyz") else either
                    assert operation.get("security") == wanted, path
                    assert ("401" in operation["responses"]) == (wanted is not None)

    asyncio.run(story())
