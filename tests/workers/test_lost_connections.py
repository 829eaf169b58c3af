"""Connections to Redis that are lost without a word: the store, the queue and the bell find out, and use fresh ones."""

from __future__ import annotations

import asyncio
import time

import pytest

from service.waiting import Wakeups
from tests.living import wait_until
from tests.proxy import Proxy
from tests.workers.stored import messages, no_news
from workers.jobs import celery_app
from workers.jobs.job import Lane
from workers.jobs.records import WAKE_CHANNEL
from workers.jobs.store import Store

IN_TIME_S = 8.0  # after so long at most a connection that was forgotten is noticed


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subscription is asked for a sign of life each second, and nobody waits for the four that it really has."""
    monkeypatch.setattr("service.waiting.PING_S", 1.0)


@pytest.mark.parametrize("reset", [False, True])
def test_the_store_answers_although_its_connection_was_forgotten(proxy: Proxy, reset: bool) -> None:
    store = Store.at(proxy.url, breaker_s=1)
    store.beat({"test:1": {}})
    assert proxy.forget(reset=reset) == 1
    assert list(store.children()) == ["test:1"]
    store.close()


@pytest.mark.parametrize("reset", [False, True])
def test_a_message_is_sent_although_the_connection_was_forgotten(store: Store, proxy: Proxy, reset: bool) -> None:
    app = celery_app.make_app(proxy.url, job_timeout_s=10, send_timeout_s=1)
    celery_app.send(app, Lane.BULK)
    assert proxy.forget(reset=reset) > 0
    celery_app.send(app, Lane.BULK)
    celery_app.send(app, Lane.BULK)
    assert messages(store) == 3
    app.close()


@pytest.mark.slow
def test_the_subscription_subscribes_anew_when_its_subscription_was_forgotten(store: Store, proxy: Proxy) -> None:
    def subscribers() -> int:
        return int(store.client.pubsub_numsub(WAKE_CHANNEL)[0][1])

    async def lose_it() -> float:
        async with Wakeups(proxy.url, no_news).running():
            await asyncio.to_thread(wait_until, lambda: subscribers() == 1, 10, "the bell listens")
            proxy.forget()
            start = time.monotonic()
            # Redis still counts the one that was forgotten.
            await asyncio.to_thread(wait_until, lambda: subscribers() == 2, IN_TIME_S, "the bell listens again")
            return time.monotonic() - start

    print(f"listening again after {asyncio.run(lose_it()):.1f} s")


@pytest.mark.slow
def test_the_subscription_keeps_a_subscription_on_which_nothing_happens(store: Store, proxy: Proxy) -> None:
    async def stay() -> int:
        async with Wakeups(proxy.url, no_news).running():
            await asyncio.sleep(IN_TIME_S)
            return int(store.client.pubsub_numsub(WAKE_CHANNEL)[0][1])

    assert asyncio.run(stay()) == 1
