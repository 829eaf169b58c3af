"""A connection to a real Redis that an event loop hears from, and one to something that is no Redis."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import hiredis
import pytest
import redis

from workers.jobs.connections import connection_for_loop
from workers.jobs.store import Store
from workers.jobs.wire import UNCOPIED_BYTES, Wire, packed

MOVED = (
    "redis-py's asyncio connection no longer holds its stream as `_reader` and `_writer` alone, which `Wire.connect` "
    "takes over: there is no public way to its transport (redis-py 8.1). Find where it lies now, or take the public "
    "way if one has come; until then hold redis below this version in pyproject.toml."
)


class Heard(Wire):
    def __init__(self) -> None:
        super().__init__()
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.lost: asyncio.Queue[redis.RedisError] = asyncio.Queue()

    def on_answer(self, answer: Any) -> None:
        self.answers.put_nowait(answer)

    def on_lost(self, error: redis.RedisError) -> None:
        self.lost.put_nowait(error)


def test_redis_py_holds_its_stream_where_it_is_taken_from_and_ends_nothing_that_it_does_not_hold(
    store: Store, redis_url: str
) -> None:
    async def story() -> None:
        connection = connection_for_loop(redis_url, timeout_s=10)
        await connection.connect()  # type: ignore[no-untyped-call]
        held = [getattr(connection, name, None) for name in ("_reader", "_writer")]
        reader, writer = held
        assert isinstance(reader, asyncio.StreamReader) and isinstance(writer, asyncio.StreamWriter), MOVED
        connection._writer = connection._reader = None
        assert not connection.is_connected, MOVED
        await connection.disconnect()
        del connection
        gc.collect()
        writer.write(b"PING\r\n")
        assert await reader.readline() == b"+PONG\r\n", MOVED
        writer.close()
        await writer.wait_closed()

    asyncio.run(story())


def test_answers_come_in_the_order_of_commands_and_an_error_is_one_of_them(store: Store, redis_url: str) -> None:
    large = b"x" * 1_000_000

    async def story() -> list[Any]:
        async with asyncio.timeout(30):
            wire = await Heard().connect(redis_url, 10)
            wire.write(("ECHO", large))
            wire.write(("NOSUCH",))
            wire.write(("INCRBYFLOAT", "n", 2.5))
            wire.write(("GET", "none"))
            answers = [await wire.answers.get() for _ in range(4)]
            wire.lose(redis.ConnectionError("enough"))
        return answers

    echo, error, number, nothing = asyncio.run(story())
    assert (echo, number, nothing) == (large, b"2.5", None)
    assert isinstance(error, hiredis.ReplyError)


def test_a_connection_that_redis_ends_is_lost_and_takes_nothing_any_more(store: Store, redis_url: str) -> None:
    async def story() -> None:
        async with asyncio.timeout(30):
            wire = Heard()
            assert wire.is_lost
            await wire.connect(redis_url, 10)
            wire.write(("CLIENT", "ID"))
            store.client.client_kill_filter(_id=await wire.answers.get())
            assert isinstance(await wire.lost.get(), redis.ConnectionError)
        assert wire.is_lost
        with pytest.raises(redis.ConnectionError):
            wire.write(("PING",))

    asyncio.run(story())


def test_what_does_not_speak_like_redis_is_left() -> None:
    over: list[asyncio.Task[Any] | None] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over.append(asyncio.current_task())
        while heard := await reader.read(65536):
            writer.write(b"What?\r\n" if b"PING" in heard else b"+OK\r\n" * heard.count(b"SETINFO"))
        writer.close()
        await writer.wait_closed()

    async def story() -> None:
        async with asyncio.timeout(30), await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            wire = await Heard().connect(f"redis://127.0.0.1:{port}/0", 10)
            wire.write(("PING",))
            assert "no answer" in str(await wire.lost.get())
            assert wire.is_lost
            await asyncio.gather(*(task for task in over if task))

    asyncio.run(story())


@pytest.mark.parametrize("size", [0, 1, UNCOPIED_BYTES - 1, UNCOPIED_BYTES, 3 * UNCOPIED_BYTES])
def test_a_value_that_is_set_is_sent_as_it_is_and_reads_as_any_other_command(size: int) -> None:
    value = b"\r\n$" * size
    command: Any = ("SET", "lutra:in:x:0", value[:size], "EX", 60, "NX")
    parts = packed(command)
    assert b"".join(parts) == hiredis.pack_command(command)
    assert (command[2] in parts and len(parts) == 3) == (size >= UNCOPIED_BYTES)
