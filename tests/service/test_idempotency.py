"""Idempotency-Key over HTTP: the same request has the same job, another one is refused, a refused one burns no key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from service.idempotency import LONGEST_KEY, fingerprint_of, key_of
from service.upload import Upload
from tests.living import as_file, pass_time, photo
from tests.service.asgi import NEAREST, OUTPUT, PHOTO, Here, claim, eventually, fail, queued, running_app, succeed
from workers.errors import BadRequest, CorruptPicture
from workers.jobs.job import JobState
from workers.jobs.store import Store
from workers.operations.upscale import UpscaleQuery

OTHER = as_file(photo(seed=1), quality=95)
ASYNC = {"Prefer": "respond-async"}
KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
IN_USE, REUSED = "urn:lutra:problem:idempotency-key-in-use", "urn:lutra:problem:idempotency-key-reused"


async def post(here: Here, path: str = NEAREST, data: bytes = PHOTO, key: str = KEY, **headers: str) -> httpx.Response:
    """At once, with a 202 where the request is taken in."""
    return await here.client.post(path, content=data, headers={"Idempotency-Key": key, **ASYNC, **headers})


def within(redis_url: str, story: Callable[[Here], Awaitable[Any]], **settings: object) -> None:
    async def told() -> None:
        async with asyncio.timeout(90), running_app(redis_url, **settings) as here:
            await story(here)

    asyncio.run(told())


# ---- the key ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "key"),
    [("plain", "plain"), (KEY, KEY[1:-1]), (' "a b" ', "a b"), (r'"a\"b\\"', 'a"b\\'), ("x" * 255, "x" * 255)],
)
def test_a_key_is_read_with_quotes_and_without(sent: str, key: str) -> None:
    assert key_of(Headers({"Idempotency-Key": sent})) == key
    assert key_of(Headers({})) is None


@pytest.mark.parametrize("sent", ["", '""', "x" * 256, '"' + "x" * 256 + '"', "caf\u00e9", "a\tb", "\x7f"])
def test_a_key_that_cannot_be_is_refused_with_what_is_allowed(sent: str) -> None:
    with pytest.raises(BadRequest, match=f"1 to {LONGEST_KEY}"):
        key_of(Headers({"Idempotency-Key": sent}))


def test_two_keys_are_refused() -> None:
    lines = Headers(raw=[(b"idempotency-key", b"a"), (b"idempotency-key", b"b")])
    with pytest.raises(BadRequest, match="2 times"):
        key_of(lines)


def test_a_fingerprint_is_of_operation_parameters_and_bytes() -> None:
    query, upload = UpscaleQuery(scale="2"), Upload(b"picture")
    assert fingerprint_of("upscale", query, upload) == fingerprint_of("upscale", UpscaleQuery(scale="2"), upload)
    assert fingerprint_of("upscale", query, upload) == fingerprint_of(
        "upscale", UpscaleQuery(scale="2", format="auto"), upload
    )
    different = {
        fingerprint_of("upscale", query, upload),
        fingerprint_of("restore", query, upload),
        fingerprint_of("upscale", UpscaleQuery(scale="3"), upload),
        fingerprint_of("upscale", query, Upload(b"another")),
        fingerprint_of("upscale", query, Upload(b"picture", b"table")),
    }
    assert len(different) == 5


# ---- the same request, another one -----------------------------------------------------------------------------------


def test_the_same_request_has_the_same_job_while_it_waits_runs_and_after_its_end(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.waiting.SWEEP_S", 600.0)  # who asks after the end is not woken any more

    async def story(here: Here) -> None:
        first = await post(here)
        again = await post(here)
        assert (first.status_code, again.status_code) == (202, 202)
        assert first.json()["id"] == again.json()["id"]
        assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "miss")
        taken = claim(store, await queued(store))
        running = await post(here)
        assert (running.status_code, running.json()["state"]) == (202, "running")
        assert running.json()["id"] == first.json()["id"]
        assert store.succeed(taken, b"better", OUTPUT, {})
        waiting = {"Idempotency-Key": KEY, "Prefer": "wait=500"}
        ended = await here.client.post(NEAREST, content=PHOTO, headers=waiting)
        assert (ended.status_code, ended.content) == (200, b"better")
        assert ended.headers["x-job-id"] == first.json()["id"]
        unquoted = await post(here, key=KEY[1:-1])
        assert (unquoted.status_code, unquoted.json()["state"]) == (202, "succeeded")
        assert unquoted.json()["id"] == first.json()["id"]
        assert len(store.jobs_of("at:127.0.0.1", limit=9).jobs) == 1

    within(redis_url, story)


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (NEAREST, OTHER),
        ("/upscale?scale=3&model=nearest", PHOTO),
        ("/restore", PHOTO),
        (f"{NEAREST}&format=png", PHOTO),
    ],
)
def test_another_request_with_the_key_is_refused_and_the_job_stays(
    store: Store, redis_url: str, path: str, data: bytes
) -> None:
    async def story(here: Here) -> None:
        job = (await post(here)).json()["id"]
        other = await post(here, path, data)
        assert (other.status_code, other.json()["type"]) == (422, REUSED)
        assert "needs a new key" in other.json()["detail"]
        assert (await post(here)).json()["id"] == job

    within(redis_url, story)


def test_another_key_makes_another_job(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        first, second = await post(here), await post(here, key="another")
        assert first.json()["id"] != second.json()["id"]

    within(redis_url, story)


def test_the_keys_of_clients_are_their_own(store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(here: Here) -> None:
        first = await post(here)
        monkeypatch.setattr("service.clients.neighbourhood", lambda host: "192.0.2.1")
        assert (await post(here, data=OTHER)).status_code == 202
        assert (await post(here)).json()["type"] == REUSED
        monkeypatch.undo()
        assert (await post(here)).json()["id"] == first.json()["id"]

    within(redis_url, story)


def test_while_the_first_is_taken_in_the_same_key_is_in_use(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        go_on = asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            yield PHOTO[:100]
            await go_on.wait()
            yield PHOTO[100:]

        headers = {"Idempotency-Key": KEY, **ASYNC}
        first = asyncio.create_task(here.client.post(NEAREST, content=slow_body(), headers=headers))
        await eventually(lambda: bool(store.client.keys("lutra:key:*")), "the key is held")
        for data in (PHOTO, OTHER):
            second = await post(here, data=data)
            assert (second.status_code, second.json()["type"]) == (409, IN_USE)
            assert int(second.headers["retry-after"]) >= 1
        go_on.set()
        assert (await first).status_code == 202
        assert (await post(here)).json()["id"] == (await first).json()["id"]

    within(redis_url, story)


def test_the_key_of_a_slow_upload_is_held_for_as_long_as_it_takes(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.idempotency.RENEW_S", 0.05)

    async def story(here: Here) -> None:
        go_on = asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            await go_on.wait()
            yield PHOTO

        headers = {"Idempotency-Key": KEY, **ASYNC}
        first = asyncio.create_task(here.client.post(NEAREST, content=slow_body(), headers=headers))
        await eventually(lambda: bool(store.client.keys("lutra:key:*")), "the key is held")
        (name,) = store.client.keys("lutra:key:*")
        store.client.expire(name, 30)
        await eventually(lambda: int(store.client.ttl(name)) > 30, "it is held for longer")
        go_on.set()
        assert (await first).status_code == 202

    within(redis_url, story)


# ---- refused, failed, cancelled, gone --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        (NEAREST, b"no picture", 415),
        (NEAREST, b"", 400),
        ("/upscale?scale=99", PHOTO, 422),
        ("/upscale?scale=2&model=none", PHOTO, 422),
        ("/upscale?scale=2&scal=3", PHOTO, 422),
    ],
)
def test_a_request_that_is_refused_burns_no_key(
    store: Store, redis_url: str, path: str, data: bytes, status: int
) -> None:
    async def story(here: Here) -> None:
        assert (await post(here, path, data)).status_code == status
        assert not store.client.keys("lutra:key:*")
        assert (await post(here)).status_code == 202

    within(redis_url, story)


def test_a_service_that_is_full_burns_no_key(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        filling = (await post(here, data=OTHER, key="filling")).json()["id"]
        assert (await post(here)).status_code == 503
        await here.client.delete(f"/jobs/{filling}")
        assert (await post(here)).status_code == 202

    within(redis_url, story, queue_size=1)


def test_a_job_that_failed_answers_with_its_problem_again(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job = (await post(here)).json()["id"]
        fail(store, await queued(store), CorruptPicture("cut off"))
        again = await here.client.post(NEAREST, content=PHOTO, headers={"Idempotency-Key": KEY})
        assert (again.status_code, again.json()["detail"]) == (422, "cut off")
        async_again = (await post(here)).json()
        assert (async_again["id"], async_again["state"]) == (job, "failed")

    within(redis_url, story)


def test_a_client_that_leaves_finds_its_job_again(store: Store, redis_url: str) -> None:
    """It came with a key so as to ask again: nobody cancels it."""

    async def story(here: Here) -> None:
        waiting = asyncio.create_task(here.client.post(NEAREST, content=PHOTO, headers={"Idempotency-Key": KEY}))
        computation = await queued(store)
        (status,) = store.jobs_of("at:127.0.0.1", limit=9).jobs
        assert store.cancel(status.id, only_if_attached=True) == "detached"
        waiting.cancel()
        assert (await post(here)).json()["id"] == status.id
        succeed(store, computation)
        assert store.status(status.id).state is JobState.SUCCEEDED

    within(redis_url, story)


def test_the_key_of_a_job_that_was_deleted_or_expired_says_so_for_a_day(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job = (await post(here)).json()["id"]
        succeed(store, await queued(store))
        assert (await here.client.delete(f"/jobs/{job}")).status_code == 200
        gone = await post(here)
        assert (gone.status_code, "deleted" in gone.json()["detail"]) == (410, True)

        await post(here, key="expiring")
        (waiting,) = store.jobs_of("at:127.0.0.1", limit=9).jobs
        succeed(store, waiting.computation_id)
        pass_time(store, store.limits.result_ttl_s + 1)
        gone = await post(here, key="expiring")
        assert (gone.status_code, "expired" in gone.json()["detail"]) == (410, True)
        assert (await post(here, data=OTHER, key="expiring")).json()["type"] == REUSED
        pass_time(store, 24 * 3600)
        store.beat({"test:1": {}})
        assert (await post(here, key="expiring")).status_code == 202

    within(redis_url, story)


def test_a_bad_key_is_a_problem(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        answer = await post(here, key="x" * 300)
        assert (answer.status_code, "1 to 255" in answer.json()["detail"]) == (400, True)

    within(redis_url, story)
