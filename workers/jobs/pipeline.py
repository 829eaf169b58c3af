"""The store's calls from an event loop: over one connection, one behind the other, without waiting for answers between.

A thread for each call would cost more than the call. Pictures in pieces do not come this way: what is large would keep
all others waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import hiredis
import redis

from workers.errors import StoreFull, StoreUnavailable
from workers.jobs.script import AGAIN, Call, Command, Lookup, load_scripts
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
        source, answers = self._scripts[call.script], [AGAIN]
        while answers[0] == AGAIN:
            answers = await self._run(call, "EVALSHA", source.sha1)
            if isinstance(answers[0], hiredis.ReplyError) and str(answers[0]).startswith("NOSCRIPT"):
                answers = await self._run(call, "EVAL", source.text)
            _raise_errors(answers)
        return call.read(*answers)

    async def look(self, lookup: Lookup[T]) -> T:
        """What the lookup's answers mean. Raises as `ask`."""
        answers = await self._send(lookup.commands)
        _raise_errors(answers)
        return lookup.read(*answers)

    async def close(self) -> None:
        while self._connecting is not None and not self._connecting.done():
            self._connecting.cancel()  # until it is heard: redis-py may lose one while it connects
            await asyncio.wait({self._connecting}, timeout=CANCEL_AGAIN_S)
        if self._wire is not None:
            self._wire.lose(redis.ConnectionError("the pipeline is closed"))

    async def _run(self, call: Call[Any], *script: str) -> list[Any]:
        """The answers to the script and to what is sent after it."""
        commands = (*call.before, (*script, 0, *call.args), *call.after)
        return (await self._send(commands))[len(call.before) :]

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self._now() < self._down_until:
            raise StoreUnavailable("the job store does not answer")
        try:
            try:
                return await self._exchange(commands)
            except LOST:
                return await self._exchange(commands)
        except LOST as error:
            self._down_until = self._now() + self._breaker_s
            raise StoreUnavailable("the job store does not answer") from error

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        wire = self._wire
        if wire is None or wire.is_lost:
            wire = await self._connected()
        return await wire.send(*commands)

    async def _connected(self) -> _Commands:
        """A new connection, for all who wait for one."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Commands:
        self._wire = await _Commands(self._timeout_s).connect(self._url, self._timeout_s)
        return self._wire


@dataclass
class _Asked:
    """So many commands, sent at once, and their answers until all are there."""

    count: int
    answer: asyncio.Future[list[Any]]
    asked_at: float
    answers: list[Any] = field(default_factory=list)


class _Commands(Wire):
    """Answers come in the order of the commands. One timer is set, for the oldest command that has none."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._late: _Asked | None = None

    def send(self, *commands: Command) -> asyncio.Future[list[Any]]:
        """The answers to come; redis.TimeoutError or redis.ConnectionError where one does not."""
        self.write(*commands)
        asked = _Asked(len(commands), self._loop.create_future(), self._loop.time())
        self._waiting.append(asked)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look)
        return asked.answer

    def on_answer(self, answer: Any) -> None:
        if not self._waiting:
            self.lose(redis.ConnectionError("an answer came that nobody has asked for"))
            return
        asked = self._waiting[0]
        asked.answers.append(answer)
        if len(asked.answers) == asked.count:
            self._waiting.popleft()
            if not asked.answer.done():
                asked.answer.set_result(asked.answers)

    def on_lost(self, error: redis.RedisError) -> None:
        """Everybody who waits is told."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.answer.done():
                asked.answer.set_exception(error)

    def _look(self) -> None:
        """Give up a connection whose oldest command has waited for too long; else look again when that may be so.

        Answers that came while the loop did something else for so long are read first.
        """
        self._timer = None
        if not self._waiting:
            return
        oldest = self._waiting[0]
        left_s = oldest.asked_at + self._timeout_s - self._loop.time()
        if left_s <= 0 and oldest is self._late:
            self.lose(redis.TimeoutError("no answer came"))
            return
        self._late = oldest if left_s <= 0 else None
        self._timer = self._loop.call_later(max(left_s, READ_S), self._look)


def _raise_errors(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, hiredis.ReplyError):
            raise _as_ours(answer)


def _as_ours(error: hiredis.ReplyError) -> Exception:
    """What Redis has refused: for want of memory, because it cannot serve just now, or by our fault."""
    told = str(error)
    if "OOM" in told:
        return StoreFull("the job store is out of memory")
    if any(word in told for word in AWAY):
        return StoreUnavailable("the job store does not answer")
    return redis.ResponseError(told)
