"""Who waits is woken by the message of the end; where messages are lost, by a new subscription and by the sweep."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from service import waiting
from service.waiting import Wakeups
from tests.service.asgi import NEAREST, PHOTO, Here, claim, eventually, queued, running_app, succeed
from workers.jobs.store import Store

HOUR_S = 3600.0


def subscribers(store: Store) -> int:
    return len(store.client.client_list(_type="pubsub"))


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
                Wakeups(redis_url).running() as wakeups,
                wakeups.wait_for(job) as end,
                wakeups.wait_for(job, every_event=True) as every,
                wakeups.wait_for("another", every_event=True) as other,
            ):
                heard = [await one.wait(20) for one in (end, every, other)]  # a new subscription lets everybody read
                taken = claim(store, computation)
                heard += [await every.wait(20), await end.wait(0)]
                store.progress(taken, 1, 4)
                heard += [await every.wait(20), await end.wait(0)]
                store.succeed(taken, b"better", {"format": "png"}, {})
                return [*heard, await end.wait(20), await every.wait(20), await other.wait(0)]

    assert asyncio.run(story()) == [True, True, True, True, False, True, False, True, True, False]


def test_it_ends_at_whatever_step_of_its_subscription_it_is_told_to(redis_url: str) -> None:
    """redis-py loses a cancellation that comes while it connects; a gateway that closes then would never end."""

    async def story(steps: int) -> None:
        async with asyncio.timeout(30), Wakeups(redis_url).running():
            for _ in range(steps):
                await asyncio.sleep(0)

    for steps in range(30):
        asyncio.run(story(steps))
