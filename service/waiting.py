"""Wakes whom something concerns: one Redis subscription per gateway process for all waiting requests and streams.

A message says only "job X has something new", and of a success where its result lies; whoever waits for X reads the
store, and nobody else is disturbed.
Because messages can be lost while the connection is, the store is asked on each reconnect and every SWEEP_S, with a few
calls for all who wait, who of them has missed something. A silent connection is asked for a sign of life every PING_S,
and given up where none comes. One timer stirs the streams that have been quiet, so that they can say that they live.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import hiredis
import redis

from workers.errors import LutraError
from workers.jobs.job import ResultKey
from workers.jobs.records import WAKE_CHANNEL
from workers.jobs.store_reading import Watch
from workers.jobs.wire import Wire
from workers.log import Log

SWEEP_S = 2.0
WATCHES = 500  # that one call asks about: Redis serves nobody else meanwhile
QUIET_S = 10.0
STIR_EVERY_S = 0.1
STIR_PARTS = 25  # many that began in one moment do not speak in one; each is looked at every 2.5 s
AGAIN_S = 1.0
PING_S = 4.0
CONNECT_S = 2.0
RETRY_S = 0.5
CANCEL_AGAIN_S = 0.1

# Asks the store which of these have news: their places in the sequence.
AskStore = Callable[[Sequence[Watch]], Awaitable[Collection[int]]]

log = Log(__name__)


class Waiter:
    """Set when there is something new; `wait` clears it.

    `seen`: the id of the last event that is known of the job, "0" for none; empty: its end alone is news. `may_wait`:
    whether who waits may do so still. `result`: of a job that succeeded, where a message has told.
    """

    def __init__(self, job_id: str, seen: str, may_wait: Callable[[], bool]) -> None:
        self.job_id, self.seen, self.may_wait = job_id, seen, may_wait
        self.asleep_since: float | None = None
        self.result: ResultKey | None = None
        self._stirred: asyncio.Future[None] | None = None
        self._has_news = self._is_stirred = False

    def set(self) -> None:
        self._has_news = True
        self.stir()

    def set_again(self) -> None:
        """For whoever was woken and could not read: it is woken once more, AGAIN_S from now."""
        asyncio.get_running_loop().call_later(AGAIN_S, self.set)

    def stir(self) -> None:
        """End its wait without news."""
        self._is_stirred = True
        if self._stirred is not None and not self._stirred.done():
            self._stirred.set_result(None)

    async def wait(self, timeout_s: float | None = None) -> bool:
        """True where there was news; False after `timeout_s`, or where it was stirred."""
        if not self._is_stirred:
            await self._sleep(timeout_s)
        has_news, self._has_news, self._is_stirred = self._has_news, False, False
        return has_news

    async def _sleep(self, timeout_s: float | None) -> None:
        """Until it is stirred, at the latest by the clock: future and timer cost less than an event in a timeout."""
        loop = asyncio.get_running_loop()
        self._stirred = loop.create_future()
        timer = None if timeout_s is None else loop.call_later(max(0.0, timeout_s), self.stir)
        self.asleep_since = time.monotonic()
        try:
            await self._stirred
        finally:
            self.asleep_since = self._stirred = None
            if timer is not None:
                timer.cancel()


class Subscription(Wire):
    """A connection on which messages of one channel come; `wake` is called with each.

    `is_heard`: something has come since that was last set to False.
    """

    def __init__(self, wake: Callable[[str], None]) -> None:
        super().__init__()
        self.is_heard = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake = wake

    def subscribe(self, channel: str) -> None:
        self.write(("SUBSCRIBE", channel))

    def ping(self) -> None:
        """Something will be heard."""
        self.write(("PING",))

    def on_answer(self, answer: Any) -> None:
        self.is_heard = True
        if isinstance(answer, hiredis.ReplyError):
            self.lose(redis.ConnectionError(f"no subscription: {answer}"))
        elif answer[0] == b"message":
            self._wake(answer[2].decode())

    def on_lost(self, error: redis.RedisError) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)
            self.ended.exception()  # whoever waits is told; where nobody does, nobody has to be


class Wakeups:
    """The subscription and those who wait for it."""

    def __init__(self, redis_url: str, ask_store: AskStore) -> None:
        self._redis_url = redis_url
        self._ask_store = ask_store
        self._waiters: dict[str, set[Waiter]] = defaultdict(set)
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Wakeups]:
        """Keep the subscription for as long as the block lasts."""
        self._tasks = [asyncio.create_task(task) for task in (self._listen(), self._sweep(), self._stir())]
        try:
            yield self
        finally:
            for task in self._tasks:
                await _end(task)

    @asynccontextmanager
    async def wait_for(
        self, job_id: str, seen: str = "", may_wait: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[Waiter]:
        """A waiter for one job's end, or for its events after the id `seen`; first this, then read the store."""
        waiter = Waiter(job_id, seen, may_wait)
        self._waiters[job_id].add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[job_id].discard(waiter)
            if not self._waiters[job_id]:
                del self._waiters[job_id]

    def wake_all(self) -> None:
        """Let everybody read again."""
        for waiter in list(self._all()):
            waiter.set()

    def dismiss(self) -> None:
        """Stir those who may not wait any longer."""
        for waiter in list(self._all()):
            if not waiter.may_wait():
                waiter.stir()

    def _all(self) -> Iterator[Waiter]:
        for waiters in self._waiters.values():
            yield from waiters

    def _wake(self, message: str) -> None:
        """A message names the job and the kind of its event, and of a success where the result lies."""
        job_id, kind, *words = message.split(" ")
        result = ResultKey(words[0], int(words[1]), int(words[2])) if len(words) == 3 else None
        for waiter in self._waiters.get(job_id, ()):
            if waiter.seen or kind == "end":
                waiter.result = result
                waiter.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await self._wake_by_store()

    async def _wake_by_store(self) -> None:
        """Wake those who wait although there is news; a store that does not answer is asked again by the next sweep."""
        asleep = [waiter for waiter in self._all() if waiter.asleep_since is not None]
        with suppress(LutraError):
            for first in range(0, len(asleep), WATCHES):
                asked = asleep[first : first + WATCHES]
                for place in await self._ask_store([Watch(waiter.job_id, waiter.seen) for waiter in asked]):
                    asked[place].set()

    async def _stir(self) -> None:
        """Stir the streams that have been quiet for QUIET_S, a part of them at a time."""
        while True:
            for part in self.parts_of_streams():
                await asyncio.sleep(STIR_EVERY_S)
                before = time.monotonic() - QUIET_S
                for waiter in part:
                    if waiter.asleep_since is not None and waiter.asleep_since <= before:
                        waiter.stir()

    def parts_of_streams(self) -> list[list[Waiter]]:
        """All who wait for events, in STIR_PARTS at most; one at least, which may be empty."""
        streams = [waiter for waiter in self._all() if waiter.seen]
        most = 1 + len(streams) // STIR_PARTS
        return [streams[first : first + most] for first in range(0, len(streams) or 1, most)]

    async def _follow(self, subscription: Subscription) -> None:
        """Raises RedisError once the connection is lost, or gives no sign of life for PING_S."""
        while True:
            subscription.is_heard = False
            subscription.ping()
            await asyncio.wait({subscription.ended}, timeout=PING_S)
            if subscription.ended.done():
                return subscription.ended.result()
            if not subscription.is_heard:
                raise redis.ConnectionError("the subscription is silent")

    async def _listen(self) -> None:
        lost = False
        while True:
            subscription = Subscription(self._wake)
            try:
                await subscription.connect(self._redis_url, CONNECT_S)
                subscription.subscribe(WAKE_CHANNEL)
                if lost:
                    log.info("the wake-up subscription is back")
                    lost = False
                await self._wake_by_store()
                await self._follow(subscription)
            except (redis.RedisError, OSError) as error:
                if not lost:
                    log.warning("the wake-up subscription is lost", reason=type(error).__name__)
                lost = True
                await asyncio.sleep(RETRY_S)
            finally:
                subscription.lose(redis.ConnectionError("the subscription is over"))


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel until it is heard: one that comes while redis-py connects or subscribes is lost in its retries."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN_S)
    with suppress(asyncio.CancelledError):
        task.result()
