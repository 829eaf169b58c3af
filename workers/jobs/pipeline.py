"""The store's calls from an event loop: over one connection, one behind the other, without waiting for answers between.

A thread for each call would cost more than the call. redis-py makes the connection (address, TLS, password, database);
from then on commands are written to its transport, and hiredis takes the answers apart, which come in the same order.
Pictures in pieces do not come this way: what is large would keep all others waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeVar, cast

import hiredis
import redis
import redis.asyncio

from workers.errors import StoreFull, StoreUnavailable
from workers.jobs.connections import connection_for_loop
from workers.jobs.script import AGAIN, Call, load_scripts

T = TypeVar("T")

LOST = (redis.ConnectionError, redis.TimeoutError, OSError)
CANCEL_AGAIN_S = 0.1
AWAY = ("LOADING", "READONLY", "MASTERDOWN")  # answers of a Redis that cannot serve just now


class Pipeline:
    """One connection to the Redis at `url`, made when it is needed, and anew where it was lost.

    What was under way then is sent once more on the next one: each script may run twice. `timeout_s`: how long an
    answer may take; `breaker_s`: after a failure further calls fail at once for so long.
    """

    def __init__(self, url: str, *, timeout_s: float, breaker_s: float = 0.0) -> None:
        self._url, self._timeout_s, self._breaker_s = url, timeout_s, breaker_s
        self._scripts = load_scripts()
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None
        self._down_until = 0.0
        self._now = asyncio.get_running_loop().time

    async def ask(self, call: Call[T]) -> T:
        """What the call's answer means. Raises StoreUnavailable, StoreFull, or as `call.read` does."""
        source = self._scripts[call.script]
        answer = await self._send("EVALSHA", source.sha1, 0, *call.args)
        if isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT"):
            answer = await self._send("EVAL", source.text, 0, *call.args)
        if isinstance(answer, hiredis.ReplyError):
            raise _as_ours(answer)
        return await self.ask(call) if answer == AGAIN else call.read(answer)

    async def close(self) -> None:
        while self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()  # until it is heard: redis-py may lose one while it connects
            await asyncio.wait({self._connecting}, timeout=CANCEL_AGAIN_S)
        if self._wire is not None:
            self._wire.close()

    async def _send(self, *command: Any) -> Any:
        if self._now() < self._down_until:
            raise StoreUnavailable("the job store does not answer")
        packed = hiredis.pack_command(command)
        try:
            try:
                return await self._exchange(packed)
            except LOST:
                return await self._exchange(packed)
        except LOST as error:
            self._down_until = self._now() + self._breaker_s
            raise StoreUnavailable("the job store does not answer") from error

    async def _exchange(self, packed: bytes) -> Any:
        wire = self._wire
        if wire is None or wire.is_lost:
            wire = await self._connected()
        return await wire.send(packed)

    async def _connected(self) -> _Wire:
        """A new connection, for all who wait for one."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Wire:
        connection = connection_for_loop(self._url, timeout_s=self._timeout_s)
        await connection.connect()  # type: ignore[no-untyped-call]
        self._wire = _Wire(connection, self._timeout_s)
        return self._wire


class _Wire(asyncio.Protocol):
    """A connection that redis-py has made, from when it is taken over until it is lost.

    One timer is set, for the oldest command that has no answer.
    """

    def __init__(self, connection: redis.asyncio.Connection, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        # Kept, because it ends the transport when it goes; the connection would, too, if it had it still.
        self._writer, connection._writer, connection._reader = connection._writer, None, None
        assert self._writer is not None
        self._transport = cast("asyncio.Transport", self._writer.transport)
        self._transport.set_protocol(self)

    @property
    def is_lost(self) -> bool:
        return self._transport.is_closing()

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """The answer to come; redis.TimeoutError or redis.ConnectionError where none does."""
        if self.is_lost:
            raise redis.ConnectionError("the connection was lost")
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((answer, self._loop.time()))
        self._transport.write(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        return answer

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                answer, _ = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(reply)
        except (hiredis.ProtocolError, IndexError) as error:
            self._lose(redis.ConnectionError(f"what came is no answer: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(redis.ConnectionError("the connection was lost"))

    def _look(self) -> None:
        """Give up a connection whose oldest command has waited for too long; else look again when that may be so."""
        self._timer = None
        if not self._waiting:
            return
        left_s = self._waiting[0][1] + self._timeout_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._look)
        else:
            self._lose(redis.TimeoutError("no answer came"))

    def _lose(self, error: redis.RedisError) -> None:
        """Everybody who waits is told."""
        self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            answer, _ = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)

    def close(self) -> None:
        self._lose(redis.ConnectionError("the connection is closed"))


def _as_ours(error: hiredis.ReplyError) -> Exception:
    """What Redis has refused: for want of memory, because it cannot serve just now, or by our fault."""
    told = str(error)
    if "OOM" in told:
        return StoreFull("the job store is out of memory")
    if any(word in told for word in AWAY):
        return StoreUnavailable("the job store does not answer")
    return redis.ResponseError(told)
