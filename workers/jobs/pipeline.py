"""The store's calls from an event loop: over one connection, one behind the other, without waiting for answers between.

A thread for each call would cost more than the call. Pictures in pieces do not come this way: what is large would keep
all others waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeVar

import hiredis
import redis

from workers.errors import StoreFull, StoreUnavailable
from workers.jobs.script import AGAIN, Call, load_scripts
from workers.jobs.wire import Wire

T = TypeVar("T")

LOST = (redis.ConnectionError, redis.TimeoutError, OSError)
CANCEL_AGAIN_S = 0.1
READ_S = 0.05
AWAY = ("LOADING", "READONLY", "MASTERDOWN")  # answers of a Redis that cannot serve just now


class Pipeline:
    """One connection to the Redis at `url`, made when it is needed, and anew where it was lost.

    What was under way then is sent once more on the next one: each script may run twice. `timeout_s`: how long an
    answer may take; `breaker_s`: after a failure further calls fail at once for so long.
    """

    def __init__(self, url: str, *, timeout_s: float, breaker_s: float = 0.0) -> None:
        self._url, self._timeout_s, self._breaker_s = url, timeout_s, breaker_s
        self._scripts = load_scripts()
        self._wire: _Commands | None = None
        self._connecting: asyncio.Task[_Commands] | None = None
        self._down_until = 0.0
        self._now = asyncio.get_running_loop().time

    async def ask(self, call: Call[T]) -> T:
        """What the call's answer means. Raises StoreUnavailable, StoreFull, or as `call.read` does."""
        source, answer = self._scripts[call.script], AGAIN
        while answer == AGAIN:
            answer = await self._send("EVALSHA", source.sha1, 0, *call.args)
            if isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT"):
                answer = await self._send("EVAL", source.text, 0, *call.args)
            if isinstance(answer, hiredis.ReplyError):
                raise _as_ours(answer)
        return call.read(answer)

    async def close(self) -> None:
        while self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()  # until it is heard: redis-py may lose one while it connects
            await asyncio.wait({self._connecting}, timeout=CANCEL_AGAIN_S)
        if self._wire is not None:
            self._wire.lose(redis.ConnectionError("the pipeline is closed"))

    async def _send(self, *command: Any) -> Any:
        if self._now() < self._down_until:
            raise StoreUnavailable("the job store does not answer")
        try:
            try:
                return await self._exchange(command)
            except LOST:
                return await self._exchange(command)
        except LOST as error:
            self._down_until = self._now() + self._breaker_s
            raise StoreUnavailable("the job store does not answer") from error

    async def _exchange(self, command: tuple[Any, ...]) -> Any:
        wire = self._wire
        if wire is None or wire.is_lost:
            wire = await self._connected()
        return await wire.send(*command)

    async def _connected(self) -> _Commands:
        """A new connection, for all who wait for one."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Commands:
        self._wire = await _Commands(self._timeout_s).connect(self._url, self._timeout_s)
        return self._wire


class _Commands(Wire):
    """Answers come in the order of the commands. One timer is set, for the oldest command that has none."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._late: asyncio.Future[Any] | None = None

    def send(self, *command: Any) -> asyncio.Future[Any]:
        """The answer to come; redis.TimeoutError or redis.ConnectionError where none does."""
        self.write(*command)
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((answer, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        return answer

    def on_answer(self, answer: Any) -> None:
        if not self._waiting:
            self.lose(redis.ConnectionError("an answer came that nobody has asked for"))
            return
        asked, _ = self._waiting.popleft()
        if not asked.done():
            asked.set_result(answer)

    def on_lost(self, error: redis.RedisError) -> None:
        """Everybody who waits is told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            asked, _ = self._waiting.popleft()
            if not asked.done():
                asked.set_exception(error)

    def _look(self) -> None:
        """Give up a connection whose oldest command has waited for too long; else look again when that may be so.

        Answers that came while the loop did something else for so long are read first.
        """
        self._timer = None
        if not self._waiting:
            return
        oldest, since = self._waiting[0]
        left_s = since + self._timeout_s - self._loop.time()
        if left_s <= 0 and oldest is self._late:
            self.lose(redis.TimeoutError("no answer came"))
            return
        self._late = oldest if left_s <= 0 else None
        self._timer = self._loop.call_later(max(left_s, READ_S), self._look)


def _as_ours(error: hiredis.ReplyError) -> Exception:
    """What Redis has refused: for want of memory, because it cannot serve just now, or by our fault."""
    told = str(error)
    if "OOM" in told:
        return StoreFull("the job store is out of memory")
    if any(word in told for word in AWAY):
        return StoreUnavailable("the job store does not answer")
    return redis.ResponseError(told)
