"""A connection to Redis in an event loop: redis-py makes it (address, TLS, password, database), hiredis reads it.

From then on commands are written to its transport, and answers come one by one as they are there: no task waits for
them, and nothing lies between but their parser.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self, cast

import hiredis
import redis

from workers.jobs.connections import connection_for_loop
from workers.jobs.script import Command

UNCOPIED_BYTES = 16 * 1024  # less is copied sooner than sent as a part of its own


def packed(command: Command) -> Sequence[bytes]:
    """The command as Redis reads it, in parts; a large value that is SET is a part of its own, which nobody copies."""
    if command[0] != "SET" or len(command[2]) < UNCOPIED_BYTES:
        return (hiredis.pack_command(command),)
    name, key, value, *options = command
    head = b"*%d\r\n" % len(command) + b"".join(map(_word, (name, key))) + b"$%d\r\n" % len(value)
    return head, value, b"\r\n" + b"".join(map(_word, options))


def _word(argument: Any) -> bytes:
    text = str(argument).encode()
    return b"$%d\r\n%b\r\n" % (len(text), text)


class Wire(asyncio.Protocol, ABC):
    """From when it is made until it is lost, for good. Whoever derives from it hears `on_answer` and `on_lost`."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None

    async def connect(self, url: str, timeout_s: float) -> Self:
        """Once. Raises redis.ConnectionError, redis.TimeoutError or OSError."""
        connection = connection_for_loop(url, timeout_s=timeout_s)
        await connection.connect()  # type: ignore[no-untyped-call]
        # Both are private to redis-py, which has no public way to its transport: `tests/workers/test_wire.py` looks at
        # them. Kept, because it ends the transport when it goes; the connection would, too, if it had it still.
        self._writer, connection._writer, connection._reader = connection._writer, None, None
        assert self._writer is not None
        self._transport = cast("asyncio.Transport", self._writer.transport)
        self._transport.set_protocol(self)
        return self

    @property
    def is_lost(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def write(self, *commands: Command) -> None:
        """Send these commands in one piece. Raises redis.ConnectionError where the connection is lost."""
        if self._transport is None or self._transport.is_closing():
            raise redis.ConnectionError("the connection was lost")
        self._transport.writelines([part for command in commands for part in packed(command)])

    def lose(self, error: redis.RedisError) -> None:
        """End it, for this reason."""
        if self._transport is not None:
            self._transport.abort()
        self.on_lost(error)

    @abstractmethod
    def on_answer(self, answer: Any) -> None:
        """The next answer, or a message; an error of Redis is a hiredis.ReplyError."""

    @abstractmethod
    def on_lost(self, error: redis.RedisError) -> None:
        """Nothing comes any more; may be told twice."""

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self.on_answer(answer)
        except hiredis.ProtocolError as error:
            self.lose(redis.ConnectionError(f"what came is no answer: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.on_lost(redis.ConnectionError("the connection was lost"))
