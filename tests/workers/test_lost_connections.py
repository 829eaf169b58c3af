"""Connections to Redis that are lost without a word: the store, the queue and the bell find out, and use fresh ones."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest

from service.waiting import Bell
from tests.living import wait_until
from tests.proxy import Proxy, proxied
from workers.jobs import celery_app
from workers.jobs.store import WAKE_CHANNEL, Store

IN_TIME_S = 15.0  # after so long at most a connection that was forgotten is noticed


@pytest.fixture
def proxy(store: Store, redis_url: str) -> Iterator[Proxy]:
    """Before the Redis that `store` speaks to directly; one test, one proxy."""
    with proxied(redis_url) as running:
        yield running


@pytest.mark.parametrize("reset", [False, True])
def test_the_store_answers_although_its_connection_was_forgotten(proxy: Proxy, reset: bool) -> None:
    store = Store.at(proxy.url, breaker_s=1)
    store.beat({"test:1": {}})
    assert proxy.forget(reset=reset) == 1
    assert list(store.children()) == ["test:1"]
    store.close()


def probes_of(sock: socket.socket) -> tuple[int, int, int]:
    """Seconds until the kernel probes an idle connection, between probes, and how many may stay unanswered."""
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    idle, every, count = (sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names)
    return idle, every, count


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no such option")
def test_the_kernel_finds_out_in_time_about_an_idle_connection_of_store_and_queue(proxy: Proxy) -> None:
    store = Store.at(proxy.url)
    store.ping()
    ours = store.client.connection_pool.get_connection()
    app = celery_app.make_app(proxy.url, job_timeout_s=10)
    with app.connection_for_read() as connection:
        theirs = connection.default_channel.client.connection_pool.get_connection()
        for sock in (ours._sock, theirs._sock):
            idle, every, count = probes_of(sock)
            assert idle + every * count < IN_TIME_S
        theirs.disconnect()
    store.client.connection_pool.release(ours)
    store.close()
    app.close()


@pytest.mark.parametrize("reset", [False, True])
def test_a_message_is_sent_although_the_connection_was_forgotten(store: Store, proxy: Proxy, reset: bool) -> None:
    app = celery_app.make_app(proxy.url, job_timeout_s=10, send_timeout_s=1)
    celery_app.send(app, "first")
    assert proxy.forget(reset=reset) > 0
    celery_app.send(app, "second")
    celery_app.send(app, "third")
    assert celery_app.queued_ids(store.client) == {"first", "second", "third"}
    app.close()


@pytest.mark.slow
def test_the_bell_subscribes_anew_when_its_subscription_was_forgotten(store: Store, proxy: Proxy) -> None:
    def subscribers() -> int:
        return int(store.client.pubsub_numsub(WAKE_CHANNEL)[0][1])

    async def lose_it() -> float:
        async with Bell(proxy.url).running():
            await asyncio.to_thread(wait_until, lambda: subscribers() == 1, 10, "the bell listens")
            proxy.forget()
            start = time.monotonic()
            # Redis still counts the one that was forgotten.
            await asyncio.to_thread(wait_until, lambda: subscribers() == 2, IN_TIME_S, "the bell listens again")
            return time.monotonic() - start

    print(f"listening again after {asyncio.run(lose_it()):.1f} s")


@pytest.mark.slow
def test_the_bell_keeps_a_subscription_on_which_nothing_happens(store: Store, proxy: Proxy) -> None:
    async def stay() -> int:
        async with Bell(proxy.url).running():
            await asyncio.sleep(IN_TIME_S)
            return int(store.client.pubsub_numsub(WAKE_CHANNEL)[0][1])

    assert asyncio.run(stay()) == 1
