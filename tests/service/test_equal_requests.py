"""Equal requests over HTTP: one computation for all of them, a job of its own for each, counted."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.gateway import reported_weights
from tests.living import Lutra, as_file, opened, photo, private_redis, running_lutra, wait_until
from tests.service.asgi import NEAREST, PHOTO, Here, eventually, queued, running_app, succeed
from tests.workers.stored import everything
from workers.jobs.job import Job
from workers.jobs.records import CacheResult
from workers.jobs.store import Store

ASYNC = {"Prefer": "respond-async"}
LONG = "/upscale?scale=4&model=liif&format=png"
SUCCEEDED = '{model="%s",operation="upscale",outcome="succeeded"}'


def post_at_once(lutra: Lutra, count: int, path: str, data: bytes, **headers: str) -> list[httpx.Response]:
    """The answers to so many equal requests, each on a connection of its own."""
    answers: list[httpx.Response] = []
    barrier = threading.Barrier(count)

    def post() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{lutra.port}", timeout=300, headers=headers) as client:
            barrier.wait()
            answers.append(client.post(path, content=data))

    threads = [threading.Thread(target=post) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def cached(lutra: Lutra) -> Counter[str]:
    return Counter({name: int(count) for name, count in lutra.samples("lutra_cache_requests_total").items()})


def test_a_hundred_equal_requests_at_once_are_one_computation_and_a_hundred_jobs(lutra: Lutra) -> None:
    before, finished = cached(lutra), lutra.samples("lutra_jobs_finished_total")[SUCCEEDED % "bicubic"]
    submitted = lutra.samples("lutra_jobs_submitted_total")['{operation="upscale"}']
    answers = post_at_once(lutra, 100, "/upscale?scale=3&model=bicubic", as_file(photo(300, 400, seed=1234)))
    assert [answer.status_code for answer in answers] == [200] * 100
    assert len({answer.headers["x-job-id"] for answer in answers}) == 100
    assert len({answer.content for answer in answers}) == 1
    assert opened(answers[0].content).size == (1200, 900)
    told = Counter(answer.headers["x-cache"] for answer in answers)
    assert told["miss"] == 1 and told["hit"] + told["coalesced"] == 99
    counted = cached(lutra) - before
    assert {result: counted[f'{{result="{result}"}}'] for result in told} == told
    assert lutra.samples("lutra_jobs_finished_total")[SUCCEEDED % "bicubic"] - finished == 1
    assert lutra.samples("lutra_jobs_submitted_total")['{operation="upscale"}'] - submitted == 100


def test_one_of_several_equal_jobs_is_cancelled_and_the_others_have_their_picture(lutra: Lutra) -> None:
    data = as_file(photo(128, 128, seed=4321))
    with httpx.Client(base_url=f"http://127.0.0.1:{lutra.port}", timeout=120) as client:
        first, second = (client.post(LONG, content=data, headers=ASYNC) for _ in range(2))
        assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "coalesced")
        one, other = first.json()["id"], second.json()["id"]
        assert client.delete(f"/jobs/{one}").status_code == 200
        assert client.get(f"/jobs/{one}").json()["state"] == "cancelled"
        wait_until(lambda: client.get(f"/jobs/{other}").json()["state"] == "succeeded", 60, "the other succeeds")
        assert client.get(f"/jobs/{one}/result").status_code == 409
        assert opened(client.get(f"/jobs/{other}/result").content).size == (512, 512)


def test_after_a_delete_redis_has_nothing_of_the_picture_and_every_link_of_the_job_says_it_is_gone(
    tmp_path: Path,
) -> None:
    data = as_file(photo(64, 64, seed=77), "PNG")
    with (
        private_redis(tmp_path / "r") as (url, _),
        running_lutra(tmp_path, LUTRA_REDIS_URL=url, LUTRA_MODELS="bicubic") as lutra,
    ):
        answer = lutra.post("/upscale?scale=2&model=bicubic", data, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 200
        store = Store.at(url)
        pieces = [part[100:132] for part in (data, answer.content)]
        assert [piece in everything(store) for piece in pieces] == [False, True]
        links = lutra.client.get(f"/jobs/{answer.headers['x-job-id']}").json()["links"]
        assert lutra.client.delete(links["self"]).status_code == 200
        assert not any(piece in everything(store) for piece in pieces)
        assert [lutra.client.get(link).status_code for link in links.values()] == [410] * len(links)
        assert lutra.client.delete(links["self"]).status_code == 410
        assert lutra.client.get("/jobs").json()["jobs"] == []
        store.close()


def within(redis_url: str, story: Callable[[Here], Awaitable[Any]], **settings: object) -> None:
    async def told() -> None:
        async with asyncio.timeout(60), running_app(redis_url, **settings) as here:
            del here.client.headers["cache-control"]
            await story(here)

    asyncio.run(told())


def test_a_stored_result_answers_at_once_as_a_job_of_its_own_that_took_no_time(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        job, computation = await here.submit(store)
        succeed(store, computation)
        answer = await here.client.post(NEAREST, content=PHOTO)
        assert (answer.status_code, answer.content, answer.headers["x-cache"]) == (200, b"better", "hit")
        assert answer.headers["x-job-id"] != job
        assert answer.headers["server-timing"] == "infer;dur=0.0"
        told = (await here.client.get(f"/jobs/{answer.headers['x-job-id']}")).json()
        assert (told["state"], told["progress"], told["eta_s"]) == ("succeeded", 1, None)
        assert told["created_at"] == told["started_at"] == told["finished_at"] < told["expires_at"]
        later = await here.client.post(NEAREST, content=PHOTO, headers=ASYNC)
        assert (later.status_code, later.headers["x-cache"], later.json()["state"]) == (202, "hit", "succeeded")

    within(redis_url, story)


@pytest.mark.parametrize(
    ("control", "cache"), [("no-cache", "miss"), ("max-age=0, No-Cache", "miss"), ("max-age=0", "hit"), ("", "hit")]
)
def test_no_cache_is_computed_anew(store: Store, redis_url: str, control: str, cache: str) -> None:
    async def story(here: Here) -> None:
        _, computation = await here.submit(store)
        succeed(store, computation)
        answer = await here.client.post(NEAREST, content=PHOTO, headers={**ASYNC, "Cache-Control": control})
        assert (answer.status_code, answer.headers["x-cache"]) == (202, cache)

    within(redis_url, story)


@pytest.mark.parametrize(
    "path", ["/upscale?scale=3&model=nearest", f"{NEAREST}&format=png", f"{NEAREST}&quality=50", "/restore"]
)
def test_other_parameters_formats_and_operations_are_other_computations(
    store: Store, redis_url: str, path: str
) -> None:
    async def story(here: Here) -> None:
        await here.submit(store)
        answer = await here.client.post(path, content=PHOTO, headers=ASYNC)
        assert answer.headers["x-cache"] == "miss"
        assert (await here.client.post(NEAREST, content=PHOTO, headers=ASYNC)).headers["x-cache"] == "coalesced"

    within(redis_url, story)


def test_a_result_of_other_weights_answers_nobody(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.gateway.RATE_AGE_S", 0.0)

    def loaded(sha256: str) -> None:
        store.beat({"test:1": {"device": "cpu", "models": {"liif": {"sha256": sha256, "precision": "fp32"}}}})

    async def story(here: Here) -> None:
        path, seen = "/upscale?scale=2&model=liif", []
        for sha256 in ("a" * 64, "b" * 64, "a" * 64):
            loaded(sha256)
            seen.append((await here.client.post(path, content=PHOTO, headers=ASYNC)).headers["x-cache"])
        assert seen == ["miss", "miss", "coalesced"]

    within(redis_url, story)


def test_weights_that_children_report_are_all_that_any_of_them_has(store: Store) -> None:
    def child(sha256: str | None) -> dict[str, Any]:
        return {"models": {"liif": {"sha256": sha256}}}

    assert reported_weights([child("b"), child("a"), child("b"), {}]) == {"liif": ("a", "b")}
    assert reported_weights([child(None)]) == {"liif": (None,)}


def test_a_client_that_waits_is_answered_although_the_one_it_joined_has_left(store: Store, redis_url: str) -> None:
    async def story(here: Here) -> None:
        first = asyncio.create_task(here.client.post(NEAREST, content=PHOTO))
        computation = await queued(store)
        second = asyncio.create_task(here.client.post(NEAREST, content=PHOTO))
        await eventually(lambda: len(store.jobs_of("at:127.0.0.1", limit=9).jobs) == 2, "the second has joined")
        leaving = store.jobs_of("at:127.0.0.1", limit=9).jobs[1]
        store.cancel(leaving.id, only_if_attached=True)
        succeed(store, computation)
        assert ((await second).status_code, (await second).content) == (200, b"better")
        assert (await first).status_code == 409

    within(redis_url, story)


def test_a_request_whose_twin_is_on_its_way_into_the_store_waits_until_it_is_there(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.jobs.store_admission.CARRIED_BYTES", 0)  # as of a large picture
    monkeypatch.setattr("service.gateway.EQUAL_WAIT_S", 600.0)  # it is woken, and not in passing
    monkeypatch.setattr("service.waiting.SWEEP_S", 600.0)
    there, answered = threading.Event(), []

    async def story(here: Here) -> None:
        stored: Store = here.app.state.gateway.store
        submit, admit = stored._submit, here.app.state.gateway._submit

        def submit_later(job: Job, chunks: int, message: bytes) -> None:
            there.wait(60)
            submit(job, chunks, message)

        async def watched(*args: Any) -> CacheResult | None:
            cache: CacheResult | None = await admit(*args)
            answered.append(cache)
            return cache

        monkeypatch.setattr(stored, "_submit", submit_later)
        monkeypatch.setattr(here.app.state.gateway, "_submit", watched)
        first = asyncio.create_task(here.client.post(NEAREST, content=PHOTO, headers=ASYNC))
        await eventually(lambda: bool(store.client.keys("lutra:equal:*")), "the first is admitted")
        second = asyncio.create_task(here.client.post(NEAREST, content=PHOTO, headers=ASYNC))
        await eventually(lambda: answered == [None, None], "the second is told to wait, and still when it listens")
        there.set()
        assert [(await one).headers["x-cache"] for one in (first, second)] == ["miss", "coalesced"]

    within(redis_url, story)
