"""Calls of the store from an event loop, over one connection to a real Redis: their answers, and what becomes of them
when the connection, or Redis, is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import redis

from tests.living import private_redis
from tests.proxy import Proxy
from tests.workers.stored import make_job, put
from workers.errors import JobUnknown, StoreFull, StoreUnavailable
from workers.jobs.pipeline import Pipeline
from workers.jobs.records import CacheResult
from workers.jobs.store import Store
from workers.jobs.store_admission import RESERVED, cache_of
from workers.jobs.store_base import CARRIED_BYTES

T = TypeVar("T")
NEW = {"result_bytes": 100, "table": b"", "is_fresh": True, "message": b"{}"}


def within(url: str, story: Callable[[Pipeline], Awaitable[T]], timeout_s: float = 20, breaker_s: float = 0) -> T:
    async def told() -> T:
        pipeline = Pipeline(url, timeout_s=timeout_s, breaker_s=breaker_s)
        try:
            async with asyncio.timeout(60):
                return await story(pipeline)
        finally:
            await pipeline.close()

    return asyncio.run(told())


def test_who_asks_at_once_has_each_their_own_answer_over_one_connection(store: Store, redis_url: str) -> None:
    jobs = [put(store) for _ in range(50)]
    ids = [*(job.id for job in jobs), "never"] * 4
    before = store.client.info("stats")["total_connections_received"]

    async def story(pipeline: Pipeline) -> list[object]:
        return await asyncio.gather(*(pipeline.ask(store.status_call(one)) for one in ids), return_exceptions=True)

    answers = within(redis_url, story)
    assert store.client.info("stats")["total_connections_received"] == before + 1
    assert [getattr(answer, "id", "never") for answer in answers] == ids
    assert [isinstance(answer, JobUnknown) for answer in answers] == [one == "never" for one in ids]


def test_a_small_picture_is_taken_in_by_one_call_and_for_a_large_one_a_place_is_kept(
    store: Store, redis_url: str
) -> None:
    small, large = b"p" * CARRIED_BYTES, b"p" * (CARRIED_BYTES + 1)

    async def story(pipeline: Pipeline) -> list[str]:
        return [await pipeline.ask(store.admit_call(make_job(data), data, **NEW)) for data in (small, large)]  # type: ignore[arg-type]

    taken, kept = within(redis_url, story)
    assert (cache_of(taken), kept) == (CacheResult.MISS, RESERVED)
    assert (store.queue().queued, store.queue().active) == (1, 2)


def test_a_script_that_redis_has_forgotten_is_sent_again_as_text(store: Store, redis_url: str) -> None:
    job = put(store)

    async def story(pipeline: Pipeline) -> list[str]:
        states = [(await pipeline.ask(store.status_call(job.id))).state]
        store.client.script_flush()
        return [*states, (await pipeline.ask(store.status_call(job.id))).state]

    assert within(redis_url, story) == ["queued", "queued"]


def test_an_answer_that_nobody_waits_for_any_longer_is_nobody_elses(store: Store, redis_url: str) -> None:
    first, second = put(store), put(store)

    async def story(pipeline: Pipeline) -> str:
        await pipeline.ask(store.queue_call())
        left = asyncio.ensure_future(pipeline.ask(store.status_call(first.id)))
        await asyncio.sleep(0)
        left.cancel()
        return (await pipeline.ask(store.status_call(second.id))).id

    assert within(redis_url, story) == second.id


@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_was_forgotten_is_replaced_and_what_was_under_way_is_answered(
    store: Store, proxy: Proxy, reset: bool
) -> None:
    job = put(store)

    async def story(pipeline: Pipeline) -> list[str]:
        await pipeline.ask(store.queue_call())
        await asyncio.to_thread(proxy.forget, reset=reset)
        return [
            status.state for status in await asyncio.gather(*(pipeline.ask(store.status_call(job.id)) for _ in "ab"))
        ]

    assert within(proxy.url, story, timeout_s=1) == ["queued", "queued"]


def test_a_redis_that_hangs_is_given_up_by_all_and_then_not_asked_for_a_while(tmp_path: Path) -> None:
    async def story(pipeline: Pipeline) -> None:
        await pipeline.ask(store.queue_call())
        process.send_signal(signal.SIGSTOP)
        asked = (pipeline.ask(store.queue_call()) for _ in range(20))
        assert {type(one) for one in await asyncio.gather(*asked, return_exceptions=True)} == {StoreUnavailable}
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await pipeline.ask(store.queue_call())
        assert time.monotonic() - begun < 0.2  # of the half second that an answer may take
        process.send_signal(signal.SIGCONT)
        pipeline._down_until = 0.0
        assert (await pipeline.ask(store.queue_call())).queued == 0

    with private_redis(tmp_path) as (url, process):
        store = Store.at(url)
        within(url, story, timeout_s=0.5, breaker_s=60)
        store.close()


def hold_up() -> None:
    """For longer than an answer may take."""
    time.sleep(1)


def test_an_answer_that_came_while_the_loop_was_busy_is_not_late(store: Store, redis_url: str) -> None:
    async def story(pipeline: Pipeline) -> int:
        await pipeline.ask(store.queue_call())
        before: int = store.client.info("stats")["total_connections_received"]
        asked = [asyncio.ensure_future(pipeline.ask(store.queue_call())) for _ in range(3)]
        await asyncio.sleep(0)
        hold_up()
        await asyncio.gather(*asked)
        after: int = store.client.info("stats")["total_connections_received"]
        return after - before

    assert within(redis_url, story, timeout_s=0.3) == 0


def test_a_redis_that_is_gone_is_unavailable_and_one_that_is_back_is_asked_again(tmp_path: Path) -> None:
    async def story(pipeline: Pipeline) -> None:
        for _ in range(2):
            with private_redis(tmp_path) as (url, _):
                assert (await pipeline.ask(calls.queue_call())).queued == 0
            with pytest.raises(StoreUnavailable):
                await pipeline.ask(calls.queue_call())
        assert url == address

    with private_redis(tmp_path) as (address, _):
        calls = Store.at(address)
    within(address, story)
    calls.close()


def test_a_redis_without_memory_is_full_one_that_may_not_write_unavailable_and_a_fault_of_ours_a_fault(
    tmp_path: Path,
) -> None:
    async def story(pipeline: Pipeline) -> None:
        hold = store.hold_key_call("key", "job")
        store.client.config_set("maxmemory", 1)
        with pytest.raises(StoreFull):
            await pipeline.ask(hold)
        store.client.config_set("maxmemory", 0)
        assert await pipeline.ask(hold) == ("job", "")
        with pytest.raises(redis.ResponseError):
            await pipeline.ask(replace(hold, args=("key", "job", "no number")))
        store.client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailable):
            await pipeline.ask(hold)
        with pytest.raises(StoreUnavailable):
            store.ask(hold)

    with private_redis(tmp_path) as (url, _):
        store = Store.at(url)
        within(url, story)
        store.close()


def test_a_password_and_a_database_are_those_of_the_address(store: Store, redis_url: str) -> None:
    store.client.config_set("requirepass", "")
    store.client.acl_setuser("other", enabled=True, passwords=["+word"], commands=["+@all"], keys=["*"], channels=["*"])
    try:

        async def story(pipeline: Pipeline) -> int:
            return (await pipeline.ask(store.queue_call())).active

        put(store)
        at = f"{redis_url}?username=other&password=word&db="
        assert [within(f"{at}{database}", story) for database in (0, 1)] == [1, 0]
        with pytest.raises(StoreUnavailable):
            within(f"{redis_url}?username=other&password=wrong", story)
    finally:
        store.client.acl_deluser("other")
