"""One Redis subscription per gateway process wakes every waiting request and event stream.

A message says only "job X has something new"; whoever waits reads the store. Because messages can be lost while the
connection is, everybody is woken on each reconnect and every SWEEP_S. A silent connection is asked for a sign of life
every PING_S, and given up where none comes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis.asyncio
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from workers.jobs.connections import keepalive_options
from workers.jobs.records import WAKE_CHANNEL
from workers.log import Log

SWEEP_S = 2.0
PING_S = 4.0
CONNECT_S = 2.0
RETRY_S = 0.5
CANCEL_AGAIN_S = 0.1

log = Log(__name__)


class Waiter:
    """Set when there is something new; `wait` clears it. `every_event`: not only the end of the job is news."""

    def __init__(self, *, every_event: bool) -> None:
        self.every_event = every_event
        self._event = asyncio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """True where there was news within `timeout_s`."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Wakeups:
    """The subscription and those who wait for it."""

    def __init__(self, redis_url: str) -> None:
        tcp: dict[str, Any] = {
            "socket_connect_timeout": CONNECT_S,
            "socket_keepalive": True,
            "socket_keepalive_options": keepalive_options(),
        }
        self._client = redis.asyncio.from_url(redis_url, **({} if redis_url.startswith("unix:") else tcp))
        self._waiters: dict[str, set[Waiter]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Wakeups]:
        """Keep the subscription for as long as the block lasts."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._sweep())]
        try:
            yield self
        finally:
            for task in self._tasks:
                await _end(task)
            await self._client.aclose()

    @asynccontextmanager
    async def wait_for(self, job_id: str, *, every_event: bool = False) -> AsyncIterator[Waiter]:
        """A waiter for one job; first this, then read the store."""
        waiter = Waiter(every_event=every_event)
        self._waiters[job_id].add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[job_id].discard(waiter)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    @property
    def waiting(self) -> int:
        return sum(len(waiters) for waiters in self._waiters.values())

    def wake_all(self) -> None:
        """Let everybody read again."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                waiter.set()

    def _wake(self, message: str) -> None:
        job_id, _, kind = message.partition(" ")
        for waiter in self._waiters.get(job_id, ()):
            if waiter.every_event or kind == "end":
                waiter.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.wake_all()

    async def _follow(self, subscription: PubSub) -> None:
        """Wake for each message. Raises RedisError or OSError where the connection is lost or gives no sign of life."""
        is_asked = False
        while True:
            message = await subscription.get_message(timeout=PING_S)
            if message is not None and message["type"] == "message":
                self._wake(message["data"].decode())
            if message is not None:
                is_asked = False
                continue
            if is_asked:
                raise redis.ConnectionError("the subscription is silent")
            await subscription.ping()
            is_asked = True

    async def _listen(self) -> None:
        lost = False
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(WAKE_CHANNEL)
                    if lost:
                        log.info("the wake-up subscription is back")
                        lost = False
                    self.wake_all()
                    await self._follow(subscription)
            except (RedisError, OSError) as error:
                if not lost:
                    log.warning("the wake-up subscription is lost", reason=type(error).__name__)
                lost = True
                await asyncio.sleep(RETRY_S)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel until it is heard: one that comes while redis-py connects or subscribes is lost in its retries."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        task.result()
