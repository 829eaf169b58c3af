"""What the store's sides share: one Redis, its errors as ours, the scripts, and pictures in pieces.

A piece of 4 MiB is one key, so that no command holds Redis for long and a reader fetches no more than it asks for.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Self, TypeVar, cast

import hiredis
import redis

from workers.errors import JobGone, StoreFull, StoreUnavailable
from workers.jobs.connections import connect
from workers.jobs.records import Limits
from workers.jobs.script import AGAIN, Call, Command, Script, load_scripts

CHUNK_BYTES = 4 * 1024**2
CARRIED_BYTES = 512 * 1024  # of a picture that goes along with a script: others wait meanwhile
PIECE_BYTES = 512 * 1024  # of a result on its way: what a client that reads slowly holds of the gateway's memory

T = TypeVar("T")


def result_prefix(computation_id: str, attempt: int) -> str:
    return f"lutra:out:{computation_id}:{attempt}"


def chunk_count(size_bytes: int) -> int:
    return max(1, -(-size_bytes // CHUNK_BYTES))


def as_mapping(flat: list[bytes]) -> dict[bytes, bytes]:
    """A hash as a script returns it: fields and values in turn."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def named(names: Sequence[str], values: Sequence[bytes | None]) -> dict[bytes, bytes]:
    """The same of a hash of which these fields were asked for; what it lacks is left out."""
    return {name: value for name, value in zip(_encoded(tuple(names)), values, strict=True) if value is not None}


@cache
def _encoded(names: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(name.encode() for name in names)


def flat_pairs(fields: Mapping[Any, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


class StoreBase:
    """A client of Redis and what the store may hold. `breaker_s`: see `Store`."""

    def __init__(self, client: redis.Redis, limits: Limits | None = None, *, breaker_s: float = 0.0) -> None:
        self.client = client
        self.limits = limits or Limits()
        self._breaker_s = breaker_s
        self._down_until = 0.0
        self._idle: deque[Any] = deque()  # connections of the client's pool
        self._scripts = load_scripts()

    @classmethod
    def at(cls, url: str, limits: Limits | None = None, *, timeout_s: float = 2.0, breaker_s: float = 0.0) -> Self:
        """A store on the Redis at `url`."""
        return cls(connect(url, timeout_s=timeout_s), limits, breaker_s=breaker_s)

    def close(self) -> None:
        self.client.close()
        self.client.connection_pool.disconnect()

    def ping(self) -> None:
        """Raises StoreUnavailable where Redis does not answer."""
        with self._reaching():
            self.client.ping()

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Redis' errors as ours, and the breaker."""
        if time.monotonic() < self._down_until:
            raise StoreUnavailable("the job store does not answer")
        try:
            yield
        except (redis.ConnectionError, redis.TimeoutError, redis.ReadOnlyError) as error:
            self._down_until = time.monotonic() + self._breaker_s
            raise StoreUnavailable("the job store does not answer") from error
        except redis.ResponseError as error:
            if not isinstance(error, redis.OutOfMemoryError) and "OOM" not in str(error):
                raise
            raise StoreFull("the job store is out of memory") from error
        except redis.exceptions.InvalidResponse as error:
            if "Out of memory" not in str(error):
                raise
            raise MemoryError("an answer of the store") from error  # hiredis says so where this process has none

    def _run(self, script: Script, *args: Any) -> Any:
        """Run one script."""
        return self._run_among(script, *args)[0]

    def _run_among(
        self, script: Script, *args: Any, before: Sequence[Command] = (), after: Sequence[Command] = ()
    ) -> list[Any]:
        """Run one script, among commands that are sent along with it: its answer, then those of what comes `after`.

        So pictures pass by the scripts, because Lua reads each byte of a text to hash it. What fails of what comes
        `before` is for the script to notice. It goes by its name where Redis knows it; a restart or SCRIPT FLUSH makes
        it forget.
        """
        source = self._scripts[script]

        def ask(*call: str) -> list[Any]:
            return self._exchange((*before, (*call, 0, *args), *after))[len(before) :]

        with self._reaching():
            answers = ask("EVALSHA", source.sha1)
            if isinstance(answers[0], redis.exceptions.NoScriptError):
                answers = ask("EVAL", source.text)
            for answer in answers:
                if isinstance(answer, redis.ResponseError):
                    raise answer
        return answers

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to these commands, errors among them, which go in one piece over one connection. As
        `connect` says, what fails there is tried once more on a fresh one.

        By redis-py's own way a call costs three times the processor time; the connections are its own, and stay here.
        """
        packed = b"".join(map(hiredis.pack_command, commands))
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self.client.connection_pool.get_connection()

        def answer() -> Any:
            try:
                return connection.read_response()
            except redis.ResponseError as error:
                return error

        def ask() -> list[Any]:
            connection.send_packed_command([packed])
            return [answer() for _ in commands]

        try:
            answers: list[Any] = connection.retry.call_with_retry(ask, lambda _: connection.disconnect())
        except BaseException:
            connection.disconnect()  # whoever has it next must not read what was meant for this call
            raise
        finally:
            self._idle.append(connection)
        return answers

    def ask(self, call: Call[T]) -> T:
        """What a call's answer means. Raises StoreUnavailable, StoreFull, or as `call.read` does."""
        answers = [AGAIN]
        while answers[0] == AGAIN:
            answers = self._run_among(call.script, *call.args, before=call.before, after=call.after)
        return call.read(*answers)

    def _write_chunks(self, prefix: str, data: bytes, ttl_s: int, first: int = 0) -> int:
        """How many there are. What a full store took in part is given back, so that it does not fill it."""
        view = memoryview(data)
        count = chunk_count(len(data))
        try:
            with self._reaching():
                for i in range(count):
                    piece = bytes(view[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES])
                    self.client.set(f"{prefix}:{first + i}", piece, ex=ttl_s)
        except StoreFull:
            self._unlink(f"{prefix}:{first + i}" for i in range(count))
            raise
        return count

    def _read_range(self, prefix: str, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            chunk, first = divmod(start, CHUNK_BYTES)
            size = min(PIECE_BYTES, CHUNK_BYTES - first, stop - start)
            with self._reaching():
                piece = cast("bytes", self.client.getrange(f"{prefix}:{chunk}", first, first + size - 1))
            if len(piece) != size:
                raise JobGone("this job and its result have expired")
            yield piece
            start += size

    def _unlink(self, keys: Iterable[str]) -> None:
        with self._reaching():
            self.client.unlink(*keys)
