"""Who waits is woken by the message of the end; where messages are lost, by a new subscription and by the sweep."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from service import waiting
from service.waiting import Wakeups
from tests.service.asgi import NEAREST, PHOTO, Exchange, Here, claim, eventually, queued, running_app, succeed
from tests.workers.stored import no_news, put
from workers.errors import StoreUnavailable
from workers.jobs.job import ResultKey
from workers.jobs.store import Store

HOUR_S = 3600.0
STREAMS = 300


def subscribers(store: Store) -> int:
    return len(store.client.client_list(_type="pubsub"))


def commands(store: Store) -> Counter[str]:
    """How often Redis was asked to do what, by scripts as well."""
    told = store.client.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): stats["calls"] for name, stats in told.items()})


async def sweeps(store: Store, count: int) -> None:
    """Returns when so many more have been."""
    begun = commands(store)["evalsha"]
    await eventually(lambda: commands(store)["evalsha"] >= begun + count, f"{count} sweeps")


def wakeups_of(here: Here, redis_url: str) -> Wakeups:
    """Others beside those of the application."""
    gateway = here.app.state.gateway
    return Wakeups(redis_url, lambda watches: gateway.ask(gateway.store.news_call(watches)))


def ask(here: Here) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(here.client.post(NEAREST, content=PHOTO, headers={"Prefer": "wait=20"}))


def test_a_waiting_client_is_answered_by_the_message_and_not_by_the_next_sweep(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", HOUR_S)

    async def story() -> list[httpx.Response]:
        answers = []
        async with running_app(redis_url) as here:
            await eventually(lambda: subscribers(store) == 1, "the gateway listens")
            for number in range(3):
                asked = ask(here)
                succeed(store, await queued(store), b"%d" % number)
                store.client.delete("lutra")  # the message that no worker takes
                answers.append(await asked)
        return answers

    answers = asyncio.run(story())
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"0"), (200, b"1"), (200, b"2")]


def test_what_ended_while_the_subscription_was_lost_is_read_when_it_is_back(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", HOUR_S)

    async def story() -> httpx.Response:
        async with running_app(redis_url) as here:
            await eventually(lambda: subscribers(store) == 1, "the gateway listens")
            asked = ask(here)
            computation_id = await queued(store)
            assert store.client.client_kill_filter(_type="pubsub") == 1
            succeed(store, computation_id)
            assert subscribers(store) == 0
            return await asked

    assert asyncio.run(story()).content == b"better"


def test_whoever_is_woken_when_the_store_does_not_answer_asks_again_and_waits_for_no_sweep(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", HOUR_S)
    monkeypatch.setattr(waiting, "AGAIN_S", 0.05)
    failed: list[str] = []

    async def story() -> httpx.Response:
        async with running_app(redis_url) as here:
            await eventually(lambda: subscribers(store) == 1, "the gateway listens")
            asked = ask(here)
            computation = await queued(store)
            (job,) = store.jobs_of("at:127.0.0.1", limit=1).jobs
            stream = Exchange(here.app, f"/jobs/{job.id}/events")
            await stream.until(b'"queued"')
            gateway: Store = here.app.state.gateway.store
            for name in ("result_lookup", "events"):
                monkeypatch.setattr(gateway, name, failing_at_first(name, getattr(gateway, name), failed))
            succeed(store, computation)
            await stream.until(b"event: end")
            return await asked

    assert asyncio.run(story()).content == b"better"
    assert {"result_lookup", "events"} <= set(failed)


def failing_at_first(name: str, call: Callable[..., Any], failed: list[str]) -> Callable[..., Any]:
    def called(*args: Any, **options: Any) -> Any:
        if failed.count(name) < 2:
            failed.append(name)
            raise StoreUnavailable("the job store does not answer")
        return call(*args, **options)

    return called


def test_what_no_message_tells_is_found_by_the_sweep(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", 0.05)

    async def story() -> httpx.Response:
        async with running_app(redis_url) as here:
            asked = ask(here)
            await queued(store)
            store.client.flushall()
            return await asked

    answer = asyncio.run(story())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:lutra:problem:store-unavailable")


def test_progress_is_news_only_to_who_asks_for_every_event_and_other_jobs_are_nobodys(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", HOUR_S)

    async def story() -> list[bool]:
        async with running_app(redis_url) as here:
            job, computation = await here.submit(store)
            async with (
                wakeups_of(here, redis_url).running() as wakeups,
                wakeups.wait_for(job) as end,
                wakeups.wait_for(job, "0") as every,
                wakeups.wait_for("another", "0") as other,
            ):
                await eventually(lambda: subscribers(store) == 2, "both listen")
                taken = claim(store, computation)
                heard = [await every.wait(20), await end.wait(0)]
                store.progress(taken, 1, 4)
                heard += [await every.wait(20), await end.wait(0)]
                assert end.result is every.result is None
                store.succeed(taken, b"better", {"format": "png"}, {})
                heard += [await end.wait(20), await every.wait(20), await other.wait(0)]
                assert end.result == every.result == ResultKey(computation, 1, len(b"better"))
                assert other.result is None
                return heard

    assert asyncio.run(story()) == [True, False, True, False, True, True, False]


def test_hundreds_of_streams_cost_a_call_for_all_of_them_now_and_then_and_nothing_each(
    make_store: Callable[..., Store], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", 0.1)
    store = make_store(queue_size=STREAMS)
    store.beat({"test:1": {}})

    async def story() -> tuple[Counter[str], Counter[str]]:
        async with running_app(redis_url) as here:
            jobs = [put(store, client="at:127.0.0.1").id for _ in range(STREAMS)]
            streams = [Exchange(here.app, f"/jobs/{job}/events") for job in jobs]
            for stream in streams:
                await stream.until(b'"queued"')
            await sweeps(store, 2)
            before = commands(store)
            await sweeps(store, 5)
            told = [stream.body.count(b"event:") for stream in streams]
            assert told == [1] * STREAMS and not any(stream.task.done() for stream in streams)
            after = commands(store)
            for stream in streams:
                stream.leave()
                await stream.end()
        return before, after

    before, after = asyncio.run(story())
    spent = after - before
    assert spent["evalsha"] >= 5
    assert spent["xrevrange"] <= STREAMS * spent["evalsha"]
    assert set(spent) <= {"evalsha", "time", "xrevrange", "info", "ping"}, "a stream has read for itself"


def test_an_event_whose_message_was_lost_is_told_by_the_sweep_and_nobody_else_reads(
    store: Store, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SWEEP_S", 0.1)

    async def story() -> Counter[str]:
        async with running_app(redis_url) as here:
            (job, _), (other, _) = await here.submit(store), await here.submit(store)
            stream, quiet = (Exchange(here.app, f"/jobs/{one}/events") for one in (job, other))
            await stream.until(b'"queued"')
            await quiet.until(b'"queued"')
            await sweeps(store, 2)
            before = commands(store)
            store.client.xadd(f"lutra:events:{job}", {"kind": "progress", "data": '{"done":1,"total":2}'})
            await stream.until(b"event: progress")
            await sweeps(store, 2)
            return commands(store) - before

    assert asyncio.run(story())["xrange"] == 1


@pytest.mark.parametrize("count", [0, 1, 24, 25, 60, 1000])
def test_streams_are_stirred_a_small_part_of_them_at_a_time_and_requests_never(redis_url: str, count: int) -> None:
    async def story() -> None:
        wakeups = Wakeups(redis_url, no_news)
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(wakeups.wait_for(f"{n}", "0")) for n in range(count)]
            await stack.enter_async_context(wakeups.wait_for("request"))
            parts = wakeups.parts_of_streams()
            assert [waiter for part in parts for waiter in part] == streams
            assert 1 <= len(parts) <= waiting.STIR_PARTS
            assert max(map(len, parts)) <= 1 + count // waiting.STIR_PARTS

    asyncio.run(story())


def test_whoever_is_stirred_has_no_news_until_there_is_some(redis_url: str) -> None:
    async def story() -> list[bool]:
        async with Wakeups(redis_url, no_news).wait_for("job", "0") as waiter:
            waiter.stir()
            heard = [await waiter.wait(20), await waiter.wait(0)]
            waiter.stir()
            waiter.set()
            return [*heard, await waiter.wait(20), await waiter.wait(0)]

    assert asyncio.run(story()) == [False, False, True, False]


def test_it_ends_at_whatever_step_of_its_subscription_it_is_told_to(redis_url: str) -> None:
    """redis-py loses a cancellation that comes while it connects; a gateway that closes then would never end."""

    async def story(steps: int) -> None:
        async with asyncio.timeout(30), Wakeups(redis_url, no_news).running():
            for _ in range(steps):
                await asyncio.sleep(0)

    for steps in range(30):
        asyncio.run(story(steps))
